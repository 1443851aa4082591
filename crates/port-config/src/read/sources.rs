//! Reads the `sources` of a kernel variant.

use port_model::{Digest, ProtectionMode, Variant};

use super::context::Context;
use super::rules::{self, Query};
use crate::source::{KernelSource, PVM_FLAKE_ATTRIBUTE};
use port_document::{Node, Table};

const KINDS: &[&str] = &["firecracker-ci", "debian-package", "debian-file", "url", "path", "pvm-flake"];

/// Reads the sources, in the order in which they are tried.
pub(super) fn read(
    node: Node<'_>,
    context: &Context<'_>,
    variant: Option<Variant>,
) -> Option<Vec<KernelSource>> {
    node.each(|node| {
        let table = node.table()?;
        let source = source(&table, context)?;
        let Some(variant) = variant else { return Some(source) };
        match misfit(&source, variant) {
            None => Some(source),
            Some((message, hint)) => {
                context.findings.add_with_hint(&table.place, message, hint);
                None
            }
        }
    })
}

/// A standard kernel must not stand in for a PVM kernel, nor the other way round (acceptance P-82).
fn misfit(source: &KernelSource, variant: Variant) -> Option<(String, &'static str)> {
    use KernelSource::{DebianPackage, FirecrackerCi, PvmFlake};
    let message = |holds: &str| {
        format!("a `{}` source gives a {holds} kernel, found it for `{variant}`", source.kind())
    };
    match (source, variant.protection_mode) {
        (FirecrackerCi { .. } | DebianPackage { .. }, ProtectionMode::Pvm) => Some((
            message("standard"),
            "PVM kernels come from `pvm-flake`, or prebuilt from `path`, `debian-file` or `url`",
        )),
        (PvmFlake { .. }, ProtectionMode::Standard) => Some((
            message("PVM"),
            "standard kernels come from `firecracker-ci`, `debian-package`, `debian-file`, `url` or `path`",
        )),
        _ => None,
    }
}

fn source(table: &Table<'_>, context: &Context<'_>) -> Option<KernelSource> {
    // With an unknown kind nothing can be said of the other keys.
    let kind = table.decisive("kind")?.word("kind of kernel source", KINDS)?;
    let source = match kind {
        "firecracker-ci" => firecracker_ci(table),
        "debian-package" => {
            let package = table.required("package").and_then(|node| node.obeying(rules::debian_package));
            package.map(|package| KernelSource::DebianPackage { package })
        }
        "debian-file" => debian_file(table),
        "url" => url(table, context),
        "path" => path(table),
        _ => {
            let attribute = table.maybe("attribute", |node| node.obeying(rules::flake_attribute));
            attribute.map(|attribute| KernelSource::PvmFlake {
                attribute: attribute.unwrap_or_else(|| PVM_FLAKE_ATTRIBUTE.to_owned()),
            })
        }
    };
    table.finish();
    source
}

fn firecracker_ci(table: &Table<'_>) -> Option<KernelSource> {
    let key = table.required("key").and_then(|node| node.obeying(rules::object_key));
    let sha256 = table.required("sha256").and_then(|node| sha256(&node));
    Some(KernelSource::FirecrackerCi { key: key?, sha256: sha256? })
}

fn debian_file(table: &Table<'_>) -> Option<KernelSource> {
    let path = table.required("path").and_then(|node| node.path());
    let sha256 = table.maybe("sha256", |node| sha256(&node));
    Some(KernelSource::DebianFile { path: path?, sha256: sha256? })
}

fn url(table: &Table<'_>, context: &Context<'_>) -> Option<KernelSource> {
    let url = table.required("url").and_then(|node| context.url(&node, Query::Taken));
    let sha256 = table.required("sha256").and_then(|node| sha256(&node));
    Some(KernelSource::Url { url: url?, sha256: sha256? })
}

fn path(table: &Table<'_>) -> Option<KernelSource> {
    let path = table.required("path").and_then(|node| node.path());
    let sha256 = table.maybe("sha256", |node| sha256(&node));
    let modules = table.maybe("modules", |node| node.path());
    Some(KernelSource::Path { path: path?, sha256: sha256?, modules: modules? })
}

fn sha256(node: &Node<'_>) -> Option<Digest> {
    match rules::sha256(node.text()?) {
        Ok(digest) => Some(digest),
        Err(reason) => node.wrong(reason),
    }
}
