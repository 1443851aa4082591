//! From text to checked values. One module per table of the file; all findings of all of them at once.

mod artifacts;
mod base_images;
mod context;
mod control_planes;
mod distribution;
mod lock;
mod machines;
mod recipes;
mod registries;
mod rules;
mod sources;

use port_document::{Findings, Node, Syntax, Table, UnknownKeys};
use port_model::Architecture;

use crate::ConfigError;
use crate::lock::Lock;
use crate::project::{OpaqueTables, Project, SourceSettings};
use context::Context;

/// Reads a `port.toml`.
pub(crate) fn project(file: &str, text: &str, host: Architecture) -> Result<Project, ConfigError> {
    document(file, text, |findings, root| root_table(&root, &mut Context::new(findings, host)))
}

/// Reads a `port.lock`.
pub(crate) fn lock(file: &str, text: &str) -> Result<Lock, ConfigError> {
    document(file, text, |findings, root| lock::read(findings, &root))
}

/// Parses `text` and has `read` read its root table.
fn document<T>(
    file: &str,
    text: &str,
    read: impl FnOnce(&Findings, Table<'_>) -> Option<T>,
) -> Result<T, ConfigError> {
    port_document::read(text, Syntax::Toml, UnknownKeys::Refused, read).conclude(file)
}

fn root_table(root: &Table<'_>, context: &mut Context<'_>) -> Option<Project> {
    let store_root = root.maybe("store_root", |node| node.path());
    let sources = root.maybe("sources", |node| source_settings(node, context));
    let control_planes = control_planes::read(root, context);
    let artifacts = artifacts::read(root, context);
    let registries = registries::read(root, context);
    let machines = machines::read(root, context);
    let base_images = root.maybe("base_images", |node| base_images::read(node, context));
    let hosts = opaque(root, "hosts");
    let nodes = opaque(root, "nodes");
    let host_groups = opaque(root, "host_groups");
    root.finish();
    Some(Project {
        store_root: store_root?.unwrap_or_else(|| crate::project::DEFAULT_STORE_ROOT.into()),
        sources: sources?.unwrap_or_default(),
        artifacts: artifacts?,
        registries: registries?,
        control_planes: control_planes?,
        machines: machines?,
        base_images: base_images?.unwrap_or_default(),
        opaque: OpaqueTables { hosts: hosts?, nodes: nodes?, host_groups: host_groups? },
    })
}

fn source_settings(node: Node<'_>, context: &Context<'_>) -> Option<SourceSettings> {
    let table = node.table()?;
    let url = table.maybe("firecracker_ci_url", |node| context.url(&node, rules::Query::Refused));
    let releases = table.maybe("firecracker_releases_url", |node| context.url(&node, rules::Query::Refused));
    table.finish();
    let default = SourceSettings::default();
    Some(SourceSettings {
        firecracker_ci_url: url?.unwrap_or(default.firecracker_ci_url),
        firecracker_releases_url: releases?,
    })
}

/// A table that is kept as it is (acceptance Pu-1).
fn opaque(root: &Table<'_>, key: &'static str) -> Option<toml::Table> {
    root.optional(key).map_or_else(|| Some(toml::Table::new()), |node| node.detached_table())
}
