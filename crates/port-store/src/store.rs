//! Opening the store, finding blobs, handing them out as files.

use std::fs::File;
use std::path::{Path, PathBuf};

use port_content::atomic::AtomicFile;
use port_content::lock::{self, Lock};
use port_content::{FsError, fs, sparse};
use port_layout::Descriptor;
use port_model::Digest;

use crate::error::StoreError;
use crate::format;

/// An open store. Cheap to clone; holds no lock.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A promise that garbage collection stays away while blobs are added and named.
#[derive(Debug)]
pub struct Operation(#[expect(dead_code, reason = "held for its lock")] Lock);

impl Store {
    /// Opens the store at `root`, making it if there is none.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        format::ensure(root)?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Says that blobs are about to be added; keep it until they are named.
    pub fn operation(&self) -> Result<Operation, StoreError> {
        lock::lock(&self.root.join("lock"), lock::Mode::Shared).map(Operation).map_err(|e| self.files(e))
    }

    /// Where a blob is, or would be. A digest's hex is safe as a file name.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// Whether the blob is here.
    pub fn has(&self, digest: &Digest) -> bool {
        fs::exists(&self.blob_path(digest))
    }

    /// Opens a blob whose size is known.
    pub fn open_blob(&self, digest: &Digest, size: u64) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        let (file, metadata) = match fs::open_regular(&path) {
            Err(error) if error.is_not_found() => {
                return Err(StoreError::NoBlob { root: self.root.clone(), digest: digest.clone() });
            }
            other => other.map_err(|e| self.files(e))?,
        };
        if metadata.len() != size {
            let found = metadata.len();
            return Err(StoreError::Damaged { digest: digest.clone(), expected: size, found });
        }
        Ok(file)
    }

    /// Reads a small document, checked against its descriptor.
    pub fn read_document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(&descriptor.digest);
        let bytes = match fs::read(&path, port_content::limit::DOCUMENT) {
            Err(error) if error.is_not_found() => {
                let digest = descriptor.digest.clone();
                return Err(StoreError::NoBlob { root: self.root.clone(), digest });
            }
            other => other.map_err(|e| self.files(e))?,
        };
        let mut hasher = port_content::hashing::Hasher::default();
        hasher.update(&bytes);
        port_content::verify::check(hasher, &descriptor.digest, Some(descriptor.size))
            .map_err(|source| StoreError::Mismatch { subject: path.display().to_string(), source })?;
        Ok(bytes)
    }

    /// Makes `target` a file of its own with the blob's content: a reflink where possible, else a copy that
    /// keeps holes. The blob itself is never handed out for writing. Says whether anything was written:
    /// a target already known to hold these bytes is left alone.
    pub fn materialise(&self, digest: &Digest, size: u64, target: &Path) -> Result<bool, StoreError> {
        if self.known_digest(target).is_some_and(|(known, _)| &known == digest) {
            return Ok(false);
        }
        let blob = self.open_blob(digest, size)?;
        let mut file = AtomicFile::create(target).map_err(StoreError::Outside)?;
        sparse::copy(&blob, file.file(), target).map_err(StoreError::Outside)?;
        file.commit().map_err(StoreError::Outside)?;
        self.remember(target, digest)?;
        Ok(true)
    }

    pub(crate) fn files(&self, source: FsError) -> StoreError {
        StoreError::Files { root: self.root.clone(), source }
    }
}
