//! What the store holds, whether it is sound, and what can go.

use port_layout::index::name_of;
use port_layout::{Descriptor, Manifest};
use port_model::Digest;
use port_store::{Collected, Verified};
use serde::Serialize;

use crate::copy::Facts;
use crate::error::OpsError;
use crate::workspace::Workspace;

/// One entry of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreRow {
    /// The name; referrers that a copy brought have none.
    pub name: Option<String>,
    /// What it refers to, where it refers to something.
    pub refers_to: Option<Digest>,
    /// What kind of artifact it is, where it says so.
    pub artifact_type: Option<String>,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Sum of the layers' sizes, in bytes; unknown of an index, and where the manifest cannot be read.
    pub bytes: Option<u64>,
}

/// Everything in the store: names, then referrers.
pub fn store_rows(workspace: &Workspace) -> Result<Vec<StoreRow>, OpsError> {
    let entries = workspace.store.index()?.manifests;
    let (named, unnamed): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| name_of(entry).is_some());
    Ok(named.iter().chain(&unnamed).map(|entry| row(workspace, entry)).collect())
}

fn row(workspace: &Workspace, entry: &Descriptor) -> StoreRow {
    let bytes = workspace.store.read_document(entry).unwrap_or_default();
    let facts = Facts::of(&bytes);
    let refers_to = facts.subject.as_ref().map(|subject| subject.digest.clone());
    let manifest = serde_json::from_slice::<Manifest>(&bytes).ok();
    let sizes = manifest
        .map(|manifest| manifest.layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size)));
    StoreRow {
        name: name_of(entry).map(str::to_owned),
        refers_to,
        artifact_type: facts.describe(entry).artifact_type,
        manifest: entry.digest.clone(),
        bytes: sizes,
    }
}

/// Reads every blob again.
pub fn verify_store(workspace: &Workspace) -> Result<Verified, OpsError> {
    Ok(workspace.store.verify(workspace.reporter.as_ref())?)
}

/// Removes blobs that no name leads to.
pub fn collect_garbage(workspace: &Workspace) -> Result<Collected, OpsError> {
    Ok(workspace.store.collect_garbage(port_store::Packs::Keep)?)
}
