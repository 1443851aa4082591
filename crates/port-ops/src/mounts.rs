//! Blobs that another repository of the same registry has, as far as the store knows: what was pushed or pulled under
//! another name there need not be sent again.
//!
//! It is a guess. The store keeps what was published once; a registry that no longer has it, or lets nobody mount it,
//! is sent the bytes.

use std::collections::BTreeMap;

use port_layout::document::{self, Document};
use port_layout::index::name_of;
use port_model::{Digest, Reference};

use crate::error::OpsError;
use crate::workspace::Workspace;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Mounts(BTreeMap<Digest, Reference>);

impl Mounts {
    /// What other repositories of the registry of `reference` have.
    pub(crate) fn of(workspace: &Workspace, reference: &Reference) -> Result<Self, OpsError> {
        let mut known = BTreeMap::new();
        for entry in workspace.store.index()?.manifests {
            // Names of the store are `registry/repository:version-variant`.
            let Some(other) = name_of(&entry).and_then(|name| name.parse::<Reference>().ok()) else {
                continue;
            };
            if other.registry() != reference.registry() || other.repository() == reference.repository() {
                continue;
            }
            // A manifest that is gone or damaged only makes it useless here.
            let Ok(bytes) = workspace.store.read_document(&entry) else { continue };
            let Ok(Document::Manifest(manifest)) = document::read(&bytes, Some(&entry.media_type)) else {
                continue;
            };
            for blob in manifest.layers.into_iter().chain([manifest.config]) {
                known.entry(blob.digest).or_insert_with(|| other.clone());
            }
        }
        Ok(Self(known))
    }

    /// The other publication that may have this blob.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&Reference> {
        self.0.get(digest)
    }
}
