//! Reads a `distribution` table, its two backends, and how push encodes what it publishes.

use port_model::{ArtifactClass, Encoding};

use super::context::Context;
use crate::distribution::{
    Backend, DEFAULT_CACHE_ROOT, DEFAULT_DELTAS, Distribution, MOST_DELTAS, RegistryAuth, RegistryConfig,
    Transport,
};
use port_document::{Node, Table};

/// Reads the distribution of an artifact of `class`.
pub(super) fn read(node: Node<'_>, context: &Context<'_>, class: ArtifactClass) -> Option<Distribution> {
    let table = node.table()?;
    let cache_root = table.maybe("cache_root", |node| node.path());
    let push = table.maybe("push", |node| push(node, context, class));
    let pull = table.maybe("pull", |node| pull(node, context));
    encoding_belongs_to_push(&table);
    table.finish();
    let push = push?;
    let (encoding, deltas) = match &push {
        Some(push) => (push.encoding, push.deltas),
        None => (Encoding::Raw, DEFAULT_DELTAS),
    };
    Some(Distribution {
        cache_root: cache_root?.unwrap_or_else(|| DEFAULT_CACHE_ROOT.into()),
        push: push.map(|push| push.backend),
        encoding,
        deltas,
        pull: pull?,
    })
}

/// Whoever writes `encoding` or `deltas` beside or above `push` is told where it belongs.
pub(super) fn encoding_belongs_to_push(table: &Table<'_>) {
    let hint = "it belongs in `distribution.push`: push encodes, and pull reads whatever was published";
    table.elsewhere(&["encoding", "deltas"], hint);
}

/// A `push` table.
struct Push {
    backend: Backend,
    encoding: Encoding,
    deltas: u32,
}

fn push(node: Node<'_>, context: &Context<'_>, class: ArtifactClass) -> Option<Push> {
    let table = node.table()?;
    let kind = kind(&table)?;
    let encoding = table.maybe("encoding", |node| Some((node.parsed::<Encoding>()?, node)));
    let deltas = table.maybe("deltas", |node| Some((node.integer32(0..=MOST_DELTAS)?, node)));
    let backend = backend(kind, &table, context);
    table.finish();
    let (encoding, deltas, backend) = (encoding?, deltas?, backend?);
    let encoding = match encoding {
        Some((encoding, node)) => possible(&backend, encoding, &node)?,
        None => backend.default_encoding(class),
    };
    let deltas = match deltas {
        Some((_, node)) if encoding != Encoding::Packed => {
            return node.wrong(format!("only a `packed` artifact has deltas, this one is `{encoding}`"));
        }
        Some((deltas, _)) => deltas,
        None => DEFAULT_DELTAS,
    };
    Some(Push { backend, encoding, deltas })
}

fn possible(backend: &Backend, encoding: Encoding, node: &Node<'_>) -> Option<Encoding> {
    if backend.encodings().contains(&encoding) {
        return Some(encoding);
    }
    let known: Vec<&str> = backend.encodings().iter().map(|encoding| encoding.as_str()).collect();
    let (kind, known) = (backend.kind(), known.join(", "));
    node.wrong(format!("the backend `{kind}` holds files as they are: expected {known}, found `{encoding}`"))
}

fn pull(node: Node<'_>, context: &Context<'_>) -> Option<Backend> {
    let table = node.table()?;
    let kind = kind(&table)?;
    let backend = backend(kind, &table, context);
    encoding_belongs_to_push(&table);
    table.finish();
    backend
}

/// Which backend: with an unknown one nothing can be said of the other keys.
fn kind(table: &Table<'_>) -> Option<&'static str> {
    table.decisive("backend")?.word("backend", Backend::WORDS)
}

fn backend(kind: &str, table: &Table<'_>, context: &Context<'_>) -> Option<Backend> {
    match kind {
        "file-system" => {
            let root = table.required("root").and_then(|node| node.path());
            root.map(|root| Backend::FileSystem { root })
        }
        "oci-registry" => registry_config(table, context).map(Backend::OciRegistry),
        _ => hosted_api(table, context),
    }
}

/// How a registry is reached, and who signs in: an artifact's own, or a mirror.
pub(super) fn registry_config(table: &Table<'_>, context: &Context<'_>) -> Option<RegistryConfig> {
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
    Some(RegistryConfig {
        transport: transport?.unwrap_or_default(),
        auth: auth?,
        certificate_authority: certificate_authority?,
        client_certificate: client_certificate?,
        client_key: client_key?,
    })
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
