//! Reads `[registries]`: the mirrors of registries, and whom those trust with credentials.

use std::collections::BTreeMap;

use port_model::Reference;

use super::context::Context;
use super::distribution::registry_config;
use crate::registries::{MirrorConfig, RegistrySettings, TagsAt};
use port_document::{Node, Place, Table};

/// Any valid part of a reference, to check the other parts alone.
const VALID: &str = "x";

/// Reads every registry.
pub(super) fn read(root: &Table<'_>, context: &Context<'_>) -> Option<BTreeMap<String, RegistrySettings>> {
    let Some(node) = root.optional("registries") else { return Some(BTreeMap::new()) };
    let table = node.table()?;
    let mut seen = Vec::new();
    let read: Vec<Option<(String, RegistrySettings)>> = table
        .named()
        .map(|(key, place, node)| {
            let host = host(context, &place, key);
            let settings = settings(node, key, context);
            let host = host?;
            if seen.contains(&host) {
                context.findings.add(&place, format!("`{host}` stands here twice, letters aside"));
                return None;
            }
            seen.push(host.clone());
            Some((host, settings?))
        })
        .collect();
    read.into_iter().collect()
}

/// The host that a key names, in lower case. Artifacts need not be published there: a copy or a base image may come from it.
fn host(context: &Context<'_>, place: &Place, key: &str) -> Option<String> {
    match Reference::new(key, VALID, VALID) {
        Ok(_) => Some(key.to_ascii_lowercase()),
        Err(error) => {
            context.findings.add(place, error.to_string());
            None
        }
    }
}

fn settings(node: Node<'_>, origin: &str, context: &Context<'_>) -> Option<RegistrySettings> {
    let table = node.table()?;
    let mut seen = Vec::new();
    let mirrors = table.maybe("mirrors", |node| {
        node.each(|node| {
            let place = Place { key: node.place.key.clone(), span: node.place.span.clone() };
            let mirror = mirror(node, context)?;
            let whole = (mirror.registry.clone(), mirror.prefix.clone());
            let wrong = if mirror.registry.eq_ignore_ascii_case(origin) {
                Some("a registry is not its own mirror".to_owned())
            } else {
                seen.contains(&whole).then(|| "this mirror stands here twice".to_owned())
            };
            seen.push(whole);
            match wrong {
                None => Some(mirror),
                Some(message) => {
                    context.findings.add(&place, message);
                    None
                }
            }
        })
    });
    let tags = table.maybe("tags", |node| {
        Some(match node.word("place for tags", TagsAt::WORDS)? {
            "mirrors" => TagsAt::Mirrors,
            _ => TagsAt::Origin,
        })
    });
    let trusted_realms = trusted_realms(&table);
    table.finish();
    Some(RegistrySettings {
        mirrors: mirrors?.unwrap_or_default(),
        tags: tags?.unwrap_or_default(),
        trusted_realms: trusted_realms?,
    })
}

/// A mirror: its place alone, or a table that says also how it is reached.
fn mirror(node: Node<'_>, context: &Context<'_>) -> Option<MirrorConfig> {
    if !node.is_table() {
        let (registry, prefix) = location(&node, context)?;
        return Some(MirrorConfig {
            registry,
            prefix,
            access: Default::default(),
            trusted_realms: Vec::new(),
        });
    }
    let table = node.table()?;
    let location = table.required("location").and_then(|node| location(&node, context));
    let access = registry_config(&table, context);
    let trusted_realms = trusted_realms(&table);
    table.finish();
    let (registry, prefix) = location?;
    Some(MirrorConfig { registry, prefix, access: access?, trusted_realms: trusted_realms? })
}

/// Hosts of token services: names alone, since they are asked by https whatever port they have.
fn trusted_realms(table: &Table<'_>) -> Option<Vec<String>> {
    let read = table.maybe("trusted_realms", |node| {
        node.each(|node| {
            let text = node.text()?;
            match Reference::new(text, VALID, VALID) {
                Ok(_) if !text.contains(':') => Some(text.to_ascii_lowercase()),
                _ => node.wrong(format!(
                    "expected the host of a token service, such as `auth.example.net`, found `{text}`"
                )),
            }
        })
    });
    Some(read?.unwrap_or_default())
}

/// `host[:port][/prefix]`.
fn location(node: &Node<'_>, context: &Context<'_>) -> Option<(String, Option<String>)> {
    let text = node.text()?;
    if text.contains('@') {
        context.findings.hide(node.place.span.clone());
        let hint = "credentials are named in `auth` of the mirror's table, or are in the credential files";
        context.findings.add_with_hint(&node.place, "a mirror's place must not hold an `@`", hint);
        return None;
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let hint = match scheme {
            "http" => format!("`{{ location = \"{rest}\", transport = \"plain-http\" }}`"),
            _ => format!("`{rest}`"),
        };
        let message = format!("expected `host/prefix`, found `{text}`");
        context.findings.add_with_hint(&node.place, message, format!("write {hint}"));
        return None;
    }
    let (registry, prefix) = match text.split_once('/') {
        Some((registry, prefix)) => (registry, Some(prefix)),
        None => (text, None),
    };
    match Reference::new(registry, prefix.unwrap_or(VALID), VALID) {
        Ok(_) => Some((registry.to_ascii_lowercase(), prefix.map(str::to_owned))),
        Err(error) => node.wrong(error.to_string()),
    }
}
