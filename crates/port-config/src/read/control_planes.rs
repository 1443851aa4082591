//! Reads `[control_planes]`.

use std::collections::BTreeMap;

use super::context::Context;
use super::rules::{self, Query};
use crate::control_plane::{ControlPlane, ControlPlaneAuth, TokenSource};
use port_document::{Node, Place, Table};

/// Reads every control plane, before the backends that name their endpoints.
pub(super) fn read(root: &Table<'_>, context: &mut Context<'_>) -> Option<BTreeMap<String, ControlPlane>> {
    let Some(node) = root.optional("control_planes") else { return Some(BTreeMap::new()) };
    let table = node.table()?;
    let read: Vec<Option<ControlPlane>> =
        table.named().map(|(name, place, node)| control_plane(context, &place, name, node)).collect();
    read.into_iter().map(|plane| plane.map(|plane| (plane.name.clone(), plane))).collect()
}

fn control_plane(
    context: &mut Context<'_>,
    place: &Place,
    name: &str,
    node: Node<'_>,
) -> Option<ControlPlane> {
    let checked = context.name(place, name);
    let table = node.table()?;
    let endpoint = table.required("endpoint").and_then(|node| {
        let endpoint = context.url(&node, Query::Refused);
        context.endpoints_complete &= endpoint.is_some();
        context.learn_endpoint(&node.place, endpoint.as_ref()?, name)?;
        endpoint
    });
    let audience = table.required("audience").and_then(|node| node.obeying(rules::header_value));
    let auth = table.required("auth").and_then(|node| auth(node, context));
    table.finish();
    Some(ControlPlane { name: checked?, endpoint: endpoint?, audience: audience?, auth: auth? })
}

fn auth(node: Node<'_>, context: &Context<'_>) -> Option<ControlPlaneAuth> {
    let table = node.table()?;
    let scheme = table.required("scheme").and_then(|node| node.word("auth scheme", &["bearer"]));
    let header = table.required("header").and_then(|node| node.obeying(rules::header));
    let source = table.required("source").and_then(|node| token_source(node, context));
    table.finish();
    scheme?;
    Some(ControlPlaneAuth { header: header?, source: source? })
}

fn token_source(node: Node<'_>, context: &Context<'_>) -> Option<TokenSource> {
    let table = node.table()?;
    table.decisive("kind")?.word("kind of token source", &["env"])?;
    let variable = table.required("variable").and_then(|node| context.variable(&node));
    table.finish();
    variable.map(|variable| TokenSource::Env { variable })
}
