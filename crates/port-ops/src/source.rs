//! Where one published variant is fetched from, and how one of its files comes into the store.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use port_backend::{Backend, BackendError, Check, ErrorKind, FoundFile};
use port_content::lock::Claim;
use port_layout::Blob;
use port_layout::native::Stored;
use port_model::{Component, Digest, Reference, Variant};
use port_registry::{Kind, Partial, RegistryError, Repository};
use port_store::Store;

use crate::copy::CopyError;
use crate::error::OpsError;
use crate::target::Target;
use crate::workspace::Workspace;
use crate::{compressed, packed};

/// How many other versions are looked through for blocks of a file.
const SEED_VERSIONS: usize = 2;

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

/// The right to gather a blob in the store, waited for away from the threads that serve connections.
pub(crate) async fn claim(store: &Store, digest: &Digest) -> Result<Claim, OpsError> {
    let (store, digest) = (store.clone(), digest.clone());
    let waiting = tokio::task::spawn_blocking(move || store.claim(&digest));
    Ok(waiting.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?)
}

impl<'a> Source<'a> {
    /// The variant that a verb works on, at the backend of one direction.
    pub(crate) fn of(
        workspace: &'a Workspace,
        target: Target<'a>,
        backend: &'a dyn Backend,
        repository: Option<&'a Repository>,
    ) -> Self {
        let (reference, variant) = (&target.artifact.reference, target.variant());
        Self { workspace, backend, repository, reference, variant }
    }
}

impl Source<'_> {
    /// Brings a component's file into the store, unless it is there or at `local`.
    ///
    /// `manifest` is the one that describes it; an empty `local` is no place at all.
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
        match (stored, self.repository) {
            (Stored::Raw, Some(repository)) => self.whole(repository, component, local).await,
            (Stored::Raw, None) => {
                let digest = Some(component.digest.clone());
                let file = FoundFile { name: component.file_name.clone(), size: component.size, digest };
                let seeds = self.seeds(component, local)?;
                let expected = Some((&component.digest, component.size));
                Ok(self.fetch_with(&file, expected, &seeds).await?.1)
            }
            (Stored::Zstd(blob), _) => {
                let moved = self.blob(component, blob).await?;
                compressed::expand(self.workspace, component, blob).await?;
                Ok(Brought { moved, found: 0 })
            }
            (Stored::Packed { map, packs }, _) => {
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

    /// Brings a file that a registry has as one blob. What is at `local` afterwards is written at the same time.
    async fn whole(
        &self,
        repository: &Repository,
        component: &Component,
        local: &Path,
    ) -> Result<Brought, OpsError> {
        let (store, digest, size) = (&self.workspace.store, &component.digest, component.size);
        let _claim = claim(store, digest).await?;
        if store.has_sound(digest)? {
            return Ok(Brought { moved: 0, found: size });
        }
        let partial = store.partial_path(digest)?;
        let mut held = Partial::wait(&partial).await?;
        let wanted_beside = !local.as_os_str().is_empty();
        if wanted_beside && let Some(told) = store.materialise_beside(digest, size, local)? {
            held = held.telling(Arc::new(told));
        }
        let mut fetched = repository.blob_to_file(digest, size, &held).await;
        if fetched.as_ref().is_err_and(|error| error.failure.is_disk_full()) && store.give_up_beside(local) {
            // The copy may have taken the room that the blob needs.
            fetched = repository.blob_to_file(digest, size, &held).await;
        }
        fetched.map_err(|error| self.failed(digest, error.into()))?;
        store.adopt(digest, size)?;
        held.forget()?;
        Ok(Brought { moved: size, found: 0 })
    }

    /// Files that may hold blocks of a component, the likeliest first: what is at `local`, and what the store has of other
    /// versions. Only a place that holds the file itself asks for them.
    fn seeds(&self, component: &Component, local: &Path) -> Result<Vec<PathBuf>, OpsError> {
        let store = &self.workspace.store;
        let mut seeds = vec![local.to_owned()];
        for reference in packed::parent::stored_versions(*self)?.into_iter().take(SEED_VERSIONS) {
            let Some(entry) = store.resolve(&reference.variant_name(self.variant))? else { continue };
            let Some(decoded) = packed::local::decoded(self.workspace, &entry) else { continue };
            let same = decoded.bundle.components.iter().filter(|other| other.kind == component.kind);
            seeds.extend(same.map(|other| store.blob_path(&other.digest)));
        }
        Ok(seeds)
    }

    /// Brings one file into the store, unless it is there; returns its digest and the bytes moved.
    pub(crate) async fn fetch(
        &self,
        file: &FoundFile,
        expected: Option<(&Digest, u64)>,
    ) -> Result<(Digest, u64), OpsError> {
        let (digest, brought) = self.fetch_with(file, expected, &[]).await?;
        Ok((digest, brought.moved))
    }

    async fn fetch_with(
        &self,
        file: &FoundFile,
        expected: Option<(&Digest, u64)>,
        seeds: &[PathBuf],
    ) -> Result<(Digest, Brought), OpsError> {
        let Self { workspace, backend, reference, variant, .. } = *self;
        let (store, reporter) = (&workspace.store, workspace.reporter.as_ref());
        if let Some((digest, size)) = expected
            && store.has_sound(digest)?
        {
            return Ok((digest.clone(), Brought { moved: 0, found: size }));
        }
        let location = backend.location(reference, variant, &file.name);
        let Some((digest, size)) = expected else {
            let ingest = store.ingest(&location)?;
            let fetched = backend.fetch(reference, variant, file, seeds, ingest.path(), reporter).await?;
            let blob = ingest.commit(None)?;
            return Ok((blob.digest, Brought { moved: fetched.moved, found: fetched.found }));
        };
        // Another process may gather the same file: it is waited for, and what it brought is taken.
        let _claim = claim(store, digest).await?;
        if store.has_sound(digest)? {
            return Ok((digest.clone(), Brought { moved: 0, found: size }));
        }
        let partial = store.partial_path(digest)?;
        let fetched = backend.fetch(reference, variant, file, seeds, &partial, reporter).await;
        let fetched = fetched.map_err(|error| self.failed(digest, error))?;
        let blob = match fetched.check {
            Check::Done => store.adopt(digest, size)?,
            Check::Callers => store.adopt_unchecked(&location, digest, size)?,
        };
        backend.forget(&partial)?;
        Ok((blob.digest, Brought { moved: fetched.moved, found: fetched.found }))
    }

    fn failed(&self, digest: &Digest, error: BackendError) -> OpsError {
        match error.kind {
            // A directory may have been swapped in between; a registry has what it names, or has lost it.
            ErrorKind::NotFound if self.repository.is_some() => self.incomplete(digest, error),
            _ => error.into(),
        }
    }

    /// An error of the registry for a blob that its manifest names.
    pub(crate) fn lost(&self, digest: &Digest, error: RegistryError) -> OpsError {
        match error.kind() {
            Kind::NotFound => self.incomplete(digest, error),
            _ => CopyError::from(error).into(),
        }
    }

    fn incomplete(&self, digest: &Digest, error: impl Error + Send + Sync + 'static) -> OpsError {
        let (name, digest) = (self.reference.variant_name(self.variant), digest.clone());
        OpsError::Incomplete { name, digest, source: Box::new(error) }
    }
}
