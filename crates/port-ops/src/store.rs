//! What the store holds, whether it is sound, and what can go.

use port_layout::index::name_of;
use port_model::Digest;
use port_store::{Collected, Verified};
use serde::Serialize;

use crate::error::OpsError;
use crate::workspace::Workspace;

/// One name in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreRow {
    /// The name.
    pub name: String,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Sum of the layers' sizes, in bytes; unknown where the manifest cannot be read.
    pub bytes: Option<u64>,
}

/// Every name in the store.
pub fn store_rows(workspace: &Workspace) -> Result<Vec<StoreRow>, OpsError> {
    let rows = workspace.store.index()?.manifests.into_iter().map(|entry| {
        let manifest = workspace.store.read_document(&entry).ok();
        let manifest = manifest.and_then(|bytes| port_layout::native::decode_manifest(&bytes).ok());
        let bytes = manifest.map(|manifest| manifest.layers.iter().map(|layer| layer.size).sum());
        StoreRow { name: name_of(&entry).unwrap_or_default().to_owned(), manifest: entry.digest, bytes }
    });
    Ok(rows.collect())
}

/// Reads every blob again.
pub fn verify_store(workspace: &Workspace) -> Result<Verified, OpsError> {
    Ok(workspace.store.verify()?)
}

/// Removes blobs that no name leads to.
pub fn collect_garbage(workspace: &Workspace) -> Result<Collected, OpsError> {
    Ok(workspace.store.collect_garbage()?)
}
