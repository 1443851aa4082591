//! Port's store as a place for packages: names in its `index.json`, blobs beside those of artifacts.
//!
//! Nothing is removed here: blobs that no name leads to wait for `port store gc`.

use std::path::{Path, PathBuf};

use port_content::lock::{self, Mode};
use port_content::{FsError, hashing};
use port_layout::index::name_of;
use port_layout::kraftkit;
use port_layout::media_types::OCI_INDEX;
use port_layout::{Blob, Descriptor, IndexDocument};
use port_model::{Digest, Reference};
use port_store::{Store, StoreError};

use super::form::{self, BlobFile, Change, Form, Stat, Write};
use super::{Listing, Named, PackageStore, Swept};
use crate::packages::PackageError;

/// Held while a package's name is changed; the store's own locks are about its index and about collection.
const LOCK: &str = "packages.lock";

pub(super) struct OwnStore {
    store: Store,
}

impl OwnStore {
    pub(super) fn open(root: &Path) -> Result<Self, PackageError> {
        Ok(Self { store: Store::open(root)? })
    }

    /// The index behind an entry, where it is a package's.
    fn named(&self, entry: &Descriptor) -> Result<Option<Named>, PackageError> {
        let Some(Ok(reference)) = name_of(entry).map(kraftkit::parse_name) else { return Ok(None) };
        if entry.media_type != OCI_INDEX {
            return Ok(None);
        }
        let bytes = self.store.read_document(entry).map_err(|source| match source {
            StoreError::NoBlob { .. } | StoreError::Mismatch { .. } => PackageError::BrokenIndex {
                reference: reference.to_string(),
                place: self.describe(),
                source: Box::new(source),
            },
            other => other.into(),
        })?;
        let index = IndexDocument::read(&bytes, Some(OCI_INDEX))
            .map_err(|source| PackageError::Document { subject: format!("`{reference}`"), source })?;
        let named = Named {
            reference,
            index,
            digest: entry.digest.clone(),
            blob: Some(entry.digest.clone()),
            place: PathBuf::new(),
        };
        Ok(Some(named).filter(|named| kraftkit::is_listed(&named.index)))
    }

    /// Refuses a name that leads to an artifact, or to something that was imported.
    fn refuse_foreign(&self, name: &str) -> Result<(), PackageError> {
        let Some(entry) = self.store.resolve(name)? else { return Ok(()) };
        if self.named(&entry)?.is_some() {
            return Ok(());
        }
        let found = match entry.media_type.as_str() {
            OCI_INDEX => "one without it".to_owned(),
            other => format!("`{other}`"),
        };
        let (name, place) = (name.to_owned(), self.describe());
        Err(PackageError::Foreign { name, place, expected: "an index with kraft's marker", found })
    }
}

impl Form for OwnStore {
    fn describe(&self) -> String {
        format!("the store at `{}`", self.store.root().display())
    }

    fn stat(&self, digest: &Digest) -> Result<Option<Stat>, PackageError> {
        form::stat(&self.store.blob_path(digest))
    }

    fn bytes(&self, blob: &Blob) -> Result<Option<Vec<u8>>, PackageError> {
        form::bytes(&self.store.blob_path(&blob.digest))
    }

    fn open(&self, blob: &Blob) -> Result<Option<BlobFile>, PackageError> {
        form::open(self.store.blob_path(&blob.digest))
    }

    fn is_sound(&self, blob: &Blob) -> Result<bool, PackageError> {
        Ok(self.store.has_sound(&blob.digest)?)
    }

    fn add(&self, subject: &str, write: Write<'_>) -> Result<Blob, PackageError> {
        let mut ingest = self.store.ingest(subject)?;
        let path = ingest.path().to_owned();
        write(ingest.file()).map_err(|source| FsError::new("write", &path, source))?;
        let blob = ingest.commit(None)?;
        Ok(Blob { digest: blob.digest, size: blob.size })
    }

    fn partial_path(&self, digest: &Digest) -> Result<PathBuf, PackageError> {
        Ok(self.store.partial_path(digest)?)
    }

    fn adopt(&self, _: &Path, blob: &Blob) -> Result<(), PackageError> {
        self.store.adopt(&blob.digest, blob.size)?;
        Ok(())
    }

    fn change(&self) -> Result<Change, PackageError> {
        let operation = self.store.operation()?;
        let lock = lock::lock(&self.store.root().join(LOCK), Mode::Exclusive)?;
        Ok(Change { _lock: lock, _operation: Some(operation) })
    }

    fn listing(&self) -> Result<Listing, PackageError> {
        let mut listing = Listing::default();
        for entry in self.store.index()?.manifests {
            match self.named(&entry) {
                Ok(named) => listing.named.extend(named),
                Err(error) => {
                    listing.unreadable.push((self.store.blob_path(&entry.digest), error.to_string()));
                }
            }
        }
        Ok(listing)
    }

    fn find(&self, reference: &Reference) -> Result<Option<Named>, PackageError> {
        match self.store.resolve(&reference.to_string())? {
            Some(entry) => self.named(&entry),
            None => Ok(None),
        }
    }

    fn save(
        &self,
        name: &Reference,
        index: &[u8],
        _: Option<&Named>,
        _: &PackageStore,
    ) -> Result<Digest, PackageError> {
        self.refuse_foreign(&name.to_string())?;
        self.store.ingest_bytes(&name.to_string(), index)?;
        let digest = hashing::digest_of(index);
        let descriptor = Descriptor::new(OCI_INDEX, digest.clone(), index.len() as u64);
        self.store.tag(&name.to_string(), descriptor)?;
        Ok(digest)
    }

    fn forget(&self, named: &Named) -> Result<(), PackageError> {
        self.store.untag(&named.reference.to_string())?;
        Ok(())
    }

    fn forget_broken(&self, reference: &Reference) -> Result<bool, PackageError> {
        if !self.find(reference).is_err_and(|error| error.is_of_index()) {
            return Ok(false);
        }
        self.store.untag(&reference.to_string())?;
        Ok(true)
    }

    fn sweep(&self, _: &[Digest], _: &PackageStore) -> Result<Swept, PackageError> {
        Ok(Swept::default())
    }
}
