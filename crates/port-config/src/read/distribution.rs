//! Reads a `distribution` table and its two backends.

use super::context::Context;
use super::node::{Node, Table};
use crate::distribution::{
    Backend, DEFAULT_CACHE_ROOT, Distribution, RegistryAuth, RegistryConfig, Transport,
};

/// Reads a distribution.
pub(super) fn read(node: Node<'_>, context: &Context<'_>) -> Option<Distribution> {
    let table = node.table()?;
    let cache_root = table.maybe("cache_root", |node| node.path());
    let push = table.maybe("push", |node| backend(node, context));
    let pull = table.maybe("pull", |node| backend(node, context));
    table.finish();
    Some(Distribution {
        cache_root: cache_root?.unwrap_or_else(|| DEFAULT_CACHE_ROOT.into()),
        push: push?,
        pull: pull?,
    })
}

fn backend(node: Node<'_>, context: &Context<'_>) -> Option<Backend> {
    let table = node.table()?;
    // With an unknown backend nothing can be said of the other keys.
    let kind = table.decisive("backend")?.word("backend", Backend::WORDS)?;
    let backend = match kind {
        "file-system" => {
            let root = table.required("root").and_then(|node| node.path());
            root.map(|root| Backend::FileSystem { root })
        }
        "oci-registry" => oci_registry(&table, context),
        _ => hosted_api(&table, context),
    };
    table.finish();
    backend
}

fn oci_registry(table: &Table<'_>, context: &Context<'_>) -> Option<Backend> {
    let transport = table.maybe("transport", |node| {
        Some(match node.word("transport", Transport::WORDS)? {
            "plain-http" => Transport::PlainHttp,
            _ => Transport::Https,
        })
    });
    let auth = table.maybe("auth", |node| registry_auth(node, context));
    let certificate_authority = table.maybe("certificate_authority", |node| node.path());
    let client_certificate = table.maybe("client_certificate", |node| node.path());
    let client_key = table.maybe("client_key", |node| node.path());
    Some(Backend::OciRegistry(RegistryConfig {
        transport: transport?.unwrap_or(Transport::Https),
        auth: auth?,
        certificate_authority: certificate_authority?,
        client_certificate: client_certificate?,
        client_key: client_key?,
    }))
}

fn registry_auth(node: Node<'_>, context: &Context<'_>) -> Option<RegistryAuth> {
    let table = node.table()?;
    let kind = table.decisive("kind")?.word("kind of registry auth", RegistryAuth::WORDS)?;
    let auth = if kind == "basic-env" {
        let username = table.required("username_variable").and_then(|node| context.variable(&node));
        let password = table.required("password_variable").and_then(|node| context.variable(&node));
        match (username, password) {
            (Some(username_variable), Some(password_variable)) => {
                Some(RegistryAuth::BasicEnv { username_variable, password_variable })
            }
            _ => None,
        }
    } else {
        Some(RegistryAuth::Anonymous)
    };
    table.finish();
    auth
}

fn hosted_api(table: &Table<'_>, context: &Context<'_>) -> Option<Backend> {
    let endpoint = table.required("endpoint").and_then(|node| context.control_plane(&node));
    // A file edited from `oci-registry` keeps its nested table (acceptance Pu-7). The control plane's own
    // `auth` is what counts, so this one is taken and not looked into.
    let auth = table.maybe("auth", Node::table);
    let ((endpoint, control_plane), _) = (endpoint?, auth?);
    Some(Backend::HostedApi { endpoint, control_plane })
}
