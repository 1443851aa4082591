//! Where one published variant is fetched from, and how one of its files comes into the store.

use std::path::Path;

use port_backend::{Backend, Fetched, FoundFile};
use port_layout::Blob;
use port_layout::native::Stored;
use port_model::{Component, Digest, Reference, Variant};
use port_registry::Repository;

use crate::error::OpsError;
use crate::workspace::Workspace;
use crate::{compressed, packed};

/// What it took to bring a component's file into the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Brought {
    /// Bytes that came from the backend.
    pub(crate) moved: u64,
    /// Bytes of the file that lay here already.
    pub(crate) found: u64,
}

/// One variant at one backend.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) backend: &'a dyn Backend,
    /// The same place as a registry, where it is one: only registries hold what is not the file itself.
    pub(crate) repository: Option<&'a Repository>,
    pub(crate) reference: &'a Reference,
    pub(crate) variant: Variant,
}

impl Source<'_> {
    /// Brings a component's file into the store, unless it is there or at `local`.
    ///
    /// `manifest` is the one that describes it.
    pub(crate) async fn bring(
        &self,
        component: &Component,
        stored: &Stored,
        manifest: &Digest,
        local: &Path,
    ) -> Result<Brought, OpsError> {
        let store = &self.workspace.store;
        let all_here = Brought { moved: 0, found: component.size };
        if store.has_sound(&component.digest)? {
            return Ok(all_here);
        }
        if store.known_digest(local).is_some_and(|(digest, _)| digest == component.digest) {
            store.ingest_file(local)?;
            return Ok(all_here);
        }
        match stored {
            Stored::Raw => {
                let digest = Some(component.digest.clone());
                let file = FoundFile { name: component.file_name.clone(), size: component.size, digest };
                let (_, moved) = self.fetch(&file, Some((&component.digest, component.size))).await?;
                Ok(Brought { moved, found: 0 })
            }
            Stored::Zstd(blob) => {
                let moved = self.blob(component, blob).await?;
                compressed::expand(self.workspace, component, blob)?;
                Ok(Brought { moved, found: 0 })
            }
            Stored::Packed { map, packs } => {
                packed::pull::bring(self, component, map, packs, manifest, local).await
            }
        }
    }

    /// Brings one of the blobs that `component` is published as into the store; returns the bytes moved.
    pub(crate) async fn blob(&self, component: &Component, blob: &Blob) -> Result<u64, OpsError> {
        let (name, digest) = (component.file_name.clone(), Some(blob.digest.clone()));
        let file = FoundFile { name, size: blob.size, digest };
        Ok(self.fetch(&file, Some((&blob.digest, blob.size))).await?.1)
    }

    /// Brings one file into the store, unless it is there; returns its digest and the bytes moved.
    pub(crate) async fn fetch(
        &self,
        file: &FoundFile,
        expected: Option<(&Digest, u64)>,
    ) -> Result<(Digest, u64), OpsError> {
        let Self { workspace, backend, reference, variant, .. } = *self;
        let (store, reporter) = (&workspace.store, workspace.reporter.as_ref());
        if let Some((digest, _)) = expected
            && store.has_sound(digest)?
        {
            return Ok((digest.clone(), 0));
        }
        let location = backend.location(reference, variant, &file.name);
        let Some((digest, size)) = expected else {
            let ingest = store.ingest(&location)?;
            backend.fetch(reference, variant, file, ingest.path(), reporter).await?;
            let blob = ingest.commit(None)?;
            return Ok((blob.digest, blob.size));
        };
        let partial = store.partial_path(digest)?;
        let blob = match backend.fetch(reference, variant, file, &partial, reporter).await? {
            Fetched::Checked => store.adopt(digest, size)?,
            Fetched::Unchecked => store.adopt_unchecked(&location, digest, size)?,
        };
        backend.forget(&partial)?;
        Ok((blob.digest, blob.size))
    }
}
