//! Mending what one name of the store leads to. Documents first: they say what else is needed.

use std::collections::BTreeSet;
use std::sync::Arc;

use port_layout::document::{self, DocumentKind};
use port_layout::native::Stored;
use port_layout::{Blob, Descriptor, Index, Manifest};
use port_model::{Component, Digest, Variant};
use port_registry::TagOrDigest;

use super::origin::Origin;
use super::repair::Repair;
use crate::copy::CopyError;
use crate::error::OpsError;
use crate::packed::local;
use crate::source::{Source, claim};
use crate::{compressed, packed};

/// One entry of the store's index, being mended.
pub(super) struct Mend<'a, 'w> {
    repair: &'a mut Repair<'w>,
    index: &'a Index,
    entry: &'a Descriptor,
    /// Where it came from, once it was needed.
    origin: Option<Origin>,
}

/// A component of a bundle of ours, and how it is published.
struct File<'a> {
    /// The manifest that describes it.
    manifest: &'a Digest,
    variant: Variant,
    component: &'a Component,
    stored: &'a Stored,
}

/// Where bytes came from, and how many of them from outside.
type Mended = Result<(String, u64), OpsError>;

impl<'a, 'w> Mend<'a, 'w> {
    pub(super) fn new(repair: &'a mut Repair<'w>, index: &'a Index, entry: &'a Descriptor) -> Self {
        Self { repair, index, entry, origin: None }
    }

    /// Mends everything that the entry leads to; what cannot be mended is noted there.
    pub(super) async fn all(mut self) {
        let (mut waiting, mut seen) = (vec![self.entry.clone()], BTreeSet::new());
        while let Some(descriptor) = waiting.pop() {
            if !seen.insert(descriptor.digest.clone()) {
                continue;
            }
            if self.repair.lacks(&descriptor.digest) {
                let mended = self.document(&descriptor).await;
                self.note(&descriptor.digest, descriptor.size, mended);
            }
            let Ok(bytes) = self.repair.workspace.store.read_document(&descriptor) else { continue };
            if document::kind_of(&descriptor.media_type) == Some(DocumentKind::Index) {
                let index: Index = serde_json::from_slice(&bytes).unwrap_or_default();
                for entry in index.manifests {
                    match document::kind_of(&entry.media_type) {
                        Some(_) => waiting.push(entry),
                        None => self.blob(&entry).await,
                    }
                }
            } else if let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) {
                self.manifest(&descriptor, manifest).await;
            }
        }
    }

    /// The config comes first: it says what the layers are.
    async fn manifest(&mut self, descriptor: &Descriptor, manifest: Manifest) {
        self.blob(&manifest.config).await;
        let Some(decoded) = local::decoded(self.repair.workspace, descriptor) else {
            for layer in &manifest.layers {
                self.blob(layer).await;
            }
            return;
        };
        let variant = decoded.bundle.variant;
        for (component, stored) in decoded.bundle.components.iter().zip(&decoded.stored) {
            self.file(&File { manifest: &descriptor.digest, variant, component, stored }).await;
        }
    }

    fn note(&mut self, digest: &Digest, size: u64, mended: Mended) {
        match mended {
            Ok((from, moved)) => self.repair.done(digest, size, from, moved),
            Err(error) => self.repair.failed(digest, &Arc::new(error)),
        }
    }

    fn origin(&mut self) -> Result<&Origin, OpsError> {
        let origin = match self.origin.take() {
            Some(origin) => origin,
            None => Origin::of(self.repair.workspace, self.index, self.entry)?,
        };
        Ok(self.origin.insert(origin))
    }

    async fn document(&mut self, wanted: &Descriptor) -> Mended {
        let workspace = self.repair.workspace;
        let origin = self.origin()?;
        let Some(repository) = &origin.repository else {
            return origin.fetch_from_directory(workspace, &wanted.digest, wanted.size, None).await;
        };
        let name = TagOrDigest::Digest(wanted.digest.clone());
        let found = repository.manifest(&name).await.map_err(CopyError::from)?;
        workspace.store.ingest_bytes("manifest", &found.bytes)?;
        Ok((origin.place(), found.bytes.len() as u64))
    }

    /// A blob that is nobody's file.
    async fn blob(&mut self, wanted: &Descriptor) {
        if self.repair.lacks(&wanted.digest) {
            let mended = self.fetch(&wanted.digest, wanted.size, None).await;
            self.note(&wanted.digest, wanted.size, mended);
        }
    }

    async fn fetch(&mut self, digest: &Digest, size: u64, variant: Option<Variant>) -> Mended {
        let workspace = self.repair.workspace;
        let origin = self.origin()?;
        let Some(repository) = &origin.repository else {
            return origin.fetch_from_directory(workspace, digest, size, variant).await;
        };
        let _claim = claim(&workspace.store, digest).await?;
        let partial = workspace.store.partial_path(digest)?;
        let held = port_registry::Partial::wait(&partial).await?;
        repository.blob_to_file(digest, size, &held).await.map_err(CopyError::from)?;
        workspace.store.adopt(digest, size)?;
        held.forget()?;
        Ok((origin.place(), size))
    }

    /// A component may be here as its file, as the blobs that it is published as, or as both.
    async fn file(&mut self, file: &File<'_>) {
        let (component, blobs) = (file.component, file.stored.blobs(file.component));
        if file.stored != &Stored::Raw {
            for blob in &blobs {
                self.published(file, blob).await;
            }
        }
        let missing = |repair: &Repair<'_>| blobs.iter().any(|blob| repair.lacks(&blob.digest));
        let file_is_gone = !self.repair.workspace.store.has(&component.digest) && missing(self.repair);
        if self.repair.is_damaged(&component.digest) || file_is_gone {
            match self.make(file, &blobs).await {
                Ok((from, moved)) => self.repair.done(&component.digest, component.size, from, moved),
                // Either would do, so what is missing of either is missing for the same reason.
                Err(error) => {
                    let error = Arc::new(error);
                    let forms = blobs.iter().map(|blob| &blob.digest).chain([&component.digest]);
                    for digest in forms.collect::<BTreeSet<_>>() {
                        self.repair.failed(digest, &error);
                    }
                }
            }
        }
        for blob in blobs.iter().filter(|blob| blob.digest != component.digest) {
            // What the file was made of came on the way.
            let sound = self.repair.workspace.store.has_sound(&blob.digest);
            if self.repair.is_damaged(&blob.digest) && sound.is_ok_and(|sound| sound) {
                let from = self.origin.as_ref().map_or_else(String::new, Origin::place);
                self.repair.done(&blob.digest, blob.size, from, 0);
            }
        }
    }

    /// One of the blobs that a file is published as. One that is only missing is no damage while the file is here.
    async fn published(&mut self, file: &File<'_>, blob: &Blob) {
        if !self.repair.is_damaged(&blob.digest) {
            return;
        }
        let mended = self.fetch(&blob.digest, blob.size, Some(file.variant)).await;
        if mended.is_err() && !self.repair.lacks(&file.component.digest) {
            // Nobody needs it as long as the file is whole: better absent than wrong.
            if let Err(error) = self.repair.remove(&blob.digest) {
                self.repair.failed(&blob.digest, &Arc::new(error));
            }
            return;
        }
        self.note(&blob.digest, blob.size, mended);
    }

    /// Makes the file again: from a copy at hand, from what it is published as, or as it is published.
    async fn make(&mut self, file: &File<'_>, blobs: &[Blob]) -> Mended {
        let (workspace, component) = (self.repair.workspace, file.component);
        for path in self.repair.copies(&component.digest)? {
            if workspace.store.adopt_copy(&path, &component.digest, component.size)? {
                return Ok((path.display().to_string(), 0));
            }
        }
        match file.stored {
            Stored::Raw => self.fetch(&component.digest, component.size, Some(file.variant)).await,
            Stored::Zstd(_) => {
                let mut moved = 0;
                for blob in blobs.iter().filter(|blob| self.repair.lacks(&blob.digest)).collect::<Vec<_>>() {
                    moved += self.fetch(&blob.digest, blob.size, Some(file.variant)).await?.1;
                }
                for blob in blobs {
                    compressed::expand(workspace, component, blob).await?;
                }
                Ok(("its compressed form".to_owned(), moved))
            }
            Stored::Packed { map, packs } => {
                let origin = self.origin()?;
                let source = Source {
                    workspace,
                    backend: origin.backend.as_ref(),
                    repository: origin.repository.as_ref(),
                    reference: &origin.reference,
                    variant: file.variant,
                };
                let nowhere = std::path::Path::new("");
                let brought =
                    packed::pull::bring(&source, component, map, packs, file.manifest, nowhere).await?;
                Ok((format!("its packs ({})", origin.place()), brought.moved))
            }
        }
    }
}
