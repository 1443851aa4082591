//! What the store holds, whether it is sound, how it gets sound again, and what can go.

mod mend;
mod origin;
mod repair;

use port_layout::index::name_of;
use port_layout::{Descriptor, Manifest};
use port_model::Digest;
use port_store::{Collected, Packs, Verified};
use serde::Serialize;

use crate::copy::Facts;
use crate::error::OpsError;
use crate::packed::local;
use crate::workspace::Workspace;

pub use repair::{RepairReport, Repaired, Unrepaired, repair_store};

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
    /// Sum of the layers' sizes, in bytes: what travels, where none of it is there. Unknown of an index, and where the manifest
    /// cannot be read.
    pub published_bytes: Option<u64>,
    /// Sum of the files' sizes, in bytes, holes included; known of artifacts of Port.
    pub file_bytes: Option<u64>,
    /// What all of it takes on the disk here, in bytes: files, packs, documents. What several names share counts for each.
    pub disk_bytes: u64,
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
    let published = manifest
        .map(|manifest| manifest.layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size)));
    StoreRow {
        name: name_of(entry).map(str::to_owned),
        refers_to,
        artifact_type: facts.describe(entry).artifact_type,
        manifest: entry.digest.clone(),
        published_bytes: published,
        file_bytes: local::decoded(workspace, entry).map(|decoded| decoded.bundle.size()),
        disk_bytes: workspace.store.disk_bytes(entry),
    }
}

/// Reads every blob again.
pub fn verify_store(workspace: &Workspace) -> Result<Verified, OpsError> {
    Ok(workspace.store.verify(workspace.reporter.as_ref())?)
}

/// Removes blobs that no name leads to.
pub fn collect_garbage(workspace: &Workspace, packs: Packs) -> Result<Collected, OpsError> {
    Ok(workspace.store.collect_garbage(packs)?)
}
