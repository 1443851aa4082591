//! What a place for packages must be able to do, and what the places that are directories have in common.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use port_content::lock::Lock;
use port_content::{fs, limit};
use port_layout::Blob;
use port_model::{Digest, Reference};
use port_store::Operation;

use super::{Listing, Named, PackageStore, Swept};
use crate::packages::PackageError;

/// The right to change names; dropping it gives it back.
pub(in crate::packages) struct Change {
    pub(super) _lock: Lock,
    pub(super) _operation: Option<Operation>,
}

/// What is known of a blob without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) size: u64,
    /// When it came here.
    pub(super) time: Option<SystemTime>,
}

/// A blob's bytes as a file, for as long as the value is there. What they are is for the reader to check.
#[derive(Debug)]
pub(in crate::packages) struct BlobFile {
    pub(in crate::packages) file: File,
    /// Where the file can be opened again.
    pub(in crate::packages) path: PathBuf,
    /// How many bytes it has.
    pub(in crate::packages) length: u64,
}

/// What writes the bytes of a new blob.
pub(super) type Write<'a> = &'a mut dyn FnMut(&mut File) -> std::io::Result<()>;

/// A place.
pub(super) trait Form: Send + Sync {
    /// Its name in messages.
    fn describe(&self) -> String;
    fn stat(&self, digest: &Digest) -> Result<Option<Stat>, PackageError>;
    /// A document's bytes, within the limit for documents.
    fn bytes(&self, blob: &Blob) -> Result<Option<Vec<u8>>, PackageError>;
    fn open(&self, blob: &Blob) -> Result<Option<BlobFile>, PackageError>;
    /// Whether the bytes are there and are what the name says.
    fn is_sound(&self, blob: &Blob) -> Result<bool, PackageError>;
    /// Adds what `write` writes.
    fn add(&self, subject: &str, write: Write<'_>) -> Result<Blob, PackageError>;
    /// Where a download is gathered.
    fn partial_path(&self, digest: &Digest) -> Result<PathBuf, PackageError>;
    /// Names a download that was checked where it lies.
    fn adopt(&self, partial: &Path, blob: &Blob) -> Result<(), PackageError>;
    fn change(&self) -> Result<Change, PackageError>;
    fn listing(&self) -> Result<Listing, PackageError>;
    fn find(&self, reference: &Reference) -> Result<Option<Named>, PackageError>;
    /// Gives an index the name; its documents and layers are here.
    fn save(
        &self,
        name: &Reference,
        index: &[u8],
        before: Option<&Named>,
        store: &PackageStore,
    ) -> Result<Digest, PackageError>;
    fn forget(&self, named: &Named) -> Result<(), PackageError>;
    /// Takes away a name whose index cannot be read.
    fn forget_broken(&self, reference: &Reference) -> Result<bool, PackageError>;
    /// Removes those of these blobs that nothing leads to.
    fn sweep(&self, candidates: &[Digest], store: &PackageStore) -> Result<Swept, PackageError>;
}

/// [`Form::stat`] of a file.
pub(super) fn stat(path: &Path) -> Result<Option<Stat>, PackageError> {
    let found = fs::try_metadata(path)?;
    Ok(found.map(|found| Stat { size: found.len(), time: found.modified().ok() }))
}

/// [`Form::bytes`] of a file.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, PackageError> {
    match fs::read(path, limit::DOCUMENT) {
        Err(error) if error.is_not_found() => Ok(None),
        other => Ok(Some(other?)),
    }
}

/// [`Form::open`] of a file.
pub(super) fn open(path: PathBuf) -> Result<Option<BlobFile>, PackageError> {
    match fs::open_regular(&path) {
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
        Ok((file, metadata)) => Ok(Some(BlobFile { file, path, length: metadata.len() })),
    }
}
