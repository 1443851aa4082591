//! Where packages are kept: kraft's own directory, containerd, or Port's store. One interface, so that no verb asks which.
//!
//! Invariant: names are changed by whoever holds `PackageStore::change`; a name leads to documents that were there
//! before it.

mod containerd;
mod form;
mod kraft;
mod own;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use port_content::hashing::{self, Hasher};
use port_content::verify;
use port_layout::document::{self, Document};
use port_layout::kraftkit;
use port_layout::{Blob, Descriptor, DocumentError, IndexDocument, Manifest};
use port_model::{Digest, Reference};
use port_registry::Partial;

use super::PackageError;
pub use containerd::ContainerdPlace;
use containerd::ContainerdStore;
pub(super) use form::{BlobFile, Change};
use form::{Form, Write};
use kraft::KraftDirectory;
use own::OwnStore;

/// See the module.
pub struct PackageStore {
    form: Box<dyn Form>,
}

/// A package's index, as a name leads to it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// The name.
    pub(super) reference: Reference,
    /// The index.
    pub(super) index: IndexDocument,
    /// The digest of its bytes.
    pub(super) digest: Digest,
    /// The blob that it lies in. kraft rewrites indexes in place, so its name need not be their digest.
    blob: Option<Digest>,
    /// Where the name is: its path in kraft's directory, its image's name in containerd.
    place: PathBuf,
}

/// All packages.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) named: Vec<Named>,
    /// Names that lead to no index, and why.
    pub(super) unreadable: Vec<(PathBuf, String)>,
}

/// What a name leads to.
struct Reached {
    digests: Vec<Digest>,
    /// Whether that is all: a manifest that cannot be read may lead to more.
    whole: bool,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) blobs: u64,
    pub(super) bytes: u64,
}

impl PackageStore {
    /// kraft's directory, below its runtime directory (acceptance K-10). Made by the first write.
    pub fn kraft(runtime_directory: &Path) -> Self {
        Self { form: Box::new(KraftDirectory::new(runtime_directory)) }
    }

    /// Port's store.
    ///
    /// # Errors
    /// [`PackageError`] where it is a newer Port's.
    pub fn port(root: &Path) -> Result<Self, PackageError> {
        Ok(Self { form: Box::new(OwnStore::open(root)?) })
    }

    /// containerd, kraft's third place (acceptance K-8).
    ///
    /// # Errors
    /// [`PackageError`] where it cannot be reached.
    pub fn containerd(place: &ContainerdPlace) -> Result<Self, PackageError> {
        Ok(Self { form: Box::new(ContainerdStore::open(place)?) })
    }

    /// Its name in messages.
    pub(super) fn describe(&self) -> String {
        self.form.describe()
    }

    /// Whether a blob of the right size is there. What it holds is checked where it is used.
    pub(super) fn has(&self, blob: &Blob) -> Result<bool, PackageError> {
        Ok(self.form.stat(&blob.digest)?.is_some_and(|found| found.size == blob.size))
    }

    /// A blob as a file; `None` where it is not there.
    pub(super) fn open(&self, blob: &Blob) -> Result<Option<BlobFile>, PackageError> {
        self.form.open(blob)
    }

    pub(super) fn is_sound(&self, blob: &Blob) -> Result<bool, PackageError> {
        self.form.is_sound(blob)
    }

    /// When a blob came here.
    pub(super) fn time_of(&self, blob: &Blob) -> Option<SystemTime> {
        let found = self.form.stat(&blob.digest).ok()??;
        found.time.filter(|_| found.size == blob.size)
    }

    /// A document, checked; `None` where it is not there.
    pub(super) fn read(&self, blob: &Blob) -> Result<Option<Vec<u8>>, PackageError> {
        let Some(bytes) = self.form.bytes(blob)? else { return Ok(None) };
        let mut hasher = Hasher::of(blob.digest.algorithm());
        hasher.update(&bytes);
        let subject = || format!("{} in {}", blob.digest, self.describe());
        verify::check(hasher, &blob.digest, Some(blob.size))
            .map_err(|source| PackageError::Mismatch { subject: subject(), source })?;
        Ok(Some(bytes))
    }

    pub(super) fn add(&self, subject: &str, write: Write<'_>) -> Result<Blob, PackageError> {
        self.form.add(subject, write)
    }

    /// Adds a document, unless it is there.
    pub(super) fn add_bytes(&self, subject: &str, bytes: &[u8]) -> Result<Blob, PackageError> {
        let blob = Blob { digest: hashing::digest_of(bytes), size: bytes.len() as u64 };
        if self.is_sound(&blob)? {
            return Ok(blob);
        }
        self.add(subject, &mut |file| std::io::Write::write_all(file, bytes))
    }

    pub(super) fn partial_path(&self, digest: &Digest) -> Result<PathBuf, PackageError> {
        self.form.partial_path(digest)
    }

    pub(super) fn adopt(&self, partial: Partial, blob: &Blob) -> Result<(), PackageError> {
        self.form.adopt(partial.path(), blob)?;
        Ok(partial.forget()?)
    }

    pub(super) fn change(&self) -> Result<Change, PackageError> {
        self.form.change()
    }

    pub(super) fn listing(&self) -> Result<Listing, PackageError> {
        let mut listing = self.form.listing()?;
        listing.named = listing.named.into_iter().map(|named| self.with_sizes(named)).collect();
        Ok(listing)
    }

    pub(super) fn find(&self, reference: &Reference) -> Result<Option<Named>, PackageError> {
        Ok(self.form.find(reference)?.map(|named| self.with_sizes(named)))
    }

    /// kraft writes wrong sizes of manifests; what lies here has the right ones.
    fn with_sizes(&self, named: Named) -> Named {
        let size = |digest: &Digest| Some(self.form.stat(digest).ok()??.size);
        Named { index: kraftkit::with_sizes(named.index, size), ..named }
    }

    /// What an index's entry names, with the size of what lies here where the entry says none.
    pub(super) fn blob(&self, entry: &Descriptor) -> Blob {
        let here = || Some(self.form.stat(&entry.digest).ok()??.size);
        let size = kraftkit::known_size(entry).or_else(here).unwrap_or(entry.size);
        Blob { digest: entry.digest.clone(), size }
    }

    /// As [`Self::find`], where it must be there.
    pub(super) fn get(&self, reference: &Reference) -> Result<Named, PackageError> {
        self.find(reference)?.ok_or_else(|| PackageError::NotFound {
            reference: reference.to_string(),
            place: self.describe(),
        })
    }

    /// Gives an index the name, and removes what its predecessor alone led to. Call it with [`Self::change`] held.
    pub(super) fn save(
        &self,
        reference: &Reference,
        index: &IndexDocument,
        before: Option<&Named>,
    ) -> Result<(Digest, Swept), PackageError> {
        let candidates = before.map(|before| self.reach(before).digests).unwrap_or_default();
        let digest = self.form.save(reference, &index.to_bytes(), before, self)?;
        Ok((digest, self.form.sweep(&candidates, self)?))
    }

    /// Takes the name away, and removes what it alone led to. Call it with [`Self::change`] held.
    pub(super) fn forget(&self, named: &Named) -> Result<Swept, PackageError> {
        let candidates = self.reach(named).digests;
        self.form.forget(named)?;
        self.form.sweep(&candidates, self)
    }

    /// Takes a name away whose index cannot be read, as a writer leaves it that was killed; what it led to nobody knows.
    /// Says whether there was one. Call it with [`Self::change`] held.
    pub(super) fn forget_broken(&self, reference: &Reference) -> Result<bool, PackageError> {
        self.form.forget_broken(reference)
    }

    /// All blobs that a name leads to. Manifests that are not here lead nowhere (acceptance K-89).
    fn reach(&self, named: &Named) -> Reached {
        let mut reached = Reached { digests: named.blob.iter().cloned().collect(), whole: true };
        for entry in named.index.entries() {
            let entry = entry.descriptor();
            reached.digests.push(entry.digest.clone());
            match self.manifest(entry) {
                Ok(None) => {}
                Ok(Some(manifest)) => {
                    reached.digests.push(manifest.config.digest);
                    reached.digests.extend(manifest.layers.into_iter().map(|layer| layer.digest));
                }
                Err(_) => reached.whole = false,
            }
        }
        reached
    }

    /// The manifest of an index's entry; `None` where it is not here.
    pub(super) fn manifest(&self, entry: &Descriptor) -> Result<Option<Manifest>, PackageError> {
        let Some(bytes) = self.read(&self.blob(entry))? else { return Ok(None) };
        let subject = || format!("the manifest {}", entry.digest);
        match document::read(&bytes, Some(&entry.media_type)) {
            Ok(Document::Manifest(manifest)) => Ok(Some(*manifest)),
            Ok(Document::Index(_)) => {
                let source = DocumentError::Confused {
                    expected: "`layers`",
                    found: "an index, not a manifest".to_owned(),
                };
                Err(PackageError::Document { subject: subject(), source })
            }
            Err(source) => Err(PackageError::Document { subject: subject(), source }),
        }
    }
}
