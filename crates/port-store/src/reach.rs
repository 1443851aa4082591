//! What a document of the store leads to: other documents, and the blobs that it needs.
//!
//! A component that is published in another form than its file may be here as the file, as the published blobs, or as both: a
//! pull that fetched only what changed made the file and never saw all packs. Each can be made from the other.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use port_content::fs;
use port_layout::document::{self, DocumentKind};
use port_layout::native::{self, Decoded, Stored};
use port_layout::{Descriptor, Index, Manifest, media_types};
use port_model::Digest;

use crate::error::StoreError;
use crate::store::Store;

/// What a document leads to.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// Other documents, to be followed.
    pub(crate) documents: Vec<Descriptor>,
    /// Blobs.
    pub(crate) needs: Vec<Need>,
}

/// Bytes that a document needs.
#[derive(Debug)]
pub(crate) enum Need {
    /// This blob.
    Blob(Digest),
    /// The file, or all of the blobs that it is published as.
    Either {
        /// The file's digest.
        file: Digest,
        /// The blobs.
        blobs: Vec<Digest>,
        /// The one of them that says how the others make the file.
        map: Option<Digest>,
    },
}

impl Need {
    /// The blobs that the file stands for, where it is one's: they can be had again, and nothing here needs them but a push or a copy.
    /// A map stays: it makes the file a source for other versions, and is small.
    pub(crate) fn packs(&self) -> Option<(&Digest, Vec<&Digest>)> {
        match self {
            Self::Blob(_) => None,
            Self::Either { file, blobs, map } => {
                let others = blobs.iter().filter(|blob| *blob != file && Some(*blob) != map.as_ref());
                Some((file, others.collect()))
            }
        }
    }

    /// Every blob that would serve.
    pub(crate) fn all(&self) -> Vec<&Digest> {
        match self {
            Self::Blob(digest) => vec![digest],
            Self::Either { file, blobs, .. } => std::iter::once(file).chain(blobs).collect(),
        }
    }
}

impl Store {
    /// What `descriptor` leads to.
    pub(crate) fn reach(&self, descriptor: &Descriptor) -> Result<Reached, StoreError> {
        let bytes = self.read_document(descriptor)?;
        let malformed = |expected| {
            let path = self.blob_path(&descriptor.digest);
            move |source| StoreError::Malformed { path, expected, source }
        };
        if document::kind_of(&descriptor.media_type) == Some(DocumentKind::Index) {
            let index: Index = serde_json::from_slice(&bytes).map_err(malformed("an OCI image index"))?;
            let entries = index.manifests.into_iter();
            let (documents, blobs): (Vec<_>, Vec<_>) =
                entries.partition(|entry| document::kind_of(&entry.media_type).is_some());
            return Ok(Reached { documents, needs: blobs.into_iter().map(blob).collect() });
        }
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(malformed("an OCI image manifest"))?;
        Ok(Reached { documents: Vec::new(), needs: self.needs(&bytes, manifest) })
    }

    /// What everything that `entry` leads to takes on the disk, in bytes: holes take nothing.
    pub fn disk_bytes(&self, entry: &Descriptor) -> u64 {
        let (mut waiting, mut seen) = (vec![entry.clone()], BTreeSet::new());
        while let Some(descriptor) = waiting.pop() {
            if !seen.insert(descriptor.digest.clone()) {
                continue;
            }
            let Ok(reached) = self.reach(&descriptor) else { continue };
            seen.extend(reached.needs.iter().flat_map(Need::all).cloned());
            waiting.extend(reached.documents);
        }
        let on_disk =
            |digest: &Digest| fs::symlink_metadata(&self.blob_path(digest)).map(|found| found.blocks() * 512);
        seen.iter().filter_map(|digest| on_disk(digest).ok()).sum()
    }

    fn needs(&self, bytes: &[u8], manifest: Manifest) -> Vec<Need> {
        let config = blob(manifest.config.clone());
        let Some(decoded) = self.decoded(bytes, &manifest) else {
            return manifest.layers.into_iter().map(blob).chain([config]).collect();
        };
        let components = decoded.bundle.components.iter().zip(&decoded.stored);
        let needs = components.map(|(component, stored)| Need::Either {
            file: component.digest.clone(),
            blobs: stored.blobs(component).into_iter().map(|blob| blob.digest).collect(),
            map: match stored {
                Stored::Packed { map, .. } => Some(map.digest.clone()),
                Stored::Raw | Stored::Zstd(_) => None,
            },
        });
        needs.chain([config]).collect()
    }

    /// The bundle, where the manifest is one of ours and can be read.
    fn decoded(&self, bytes: &[u8], manifest: &Manifest) -> Option<Decoded> {
        if manifest.config.media_type != media_types::CONFIG {
            return None;
        }
        let config = self.read_document(&manifest.config).ok()?;
        native::decode_stored(bytes, &config).ok()
    }
}

fn blob(descriptor: Descriptor) -> Need {
    Need::Blob(descriptor.digest)
}
