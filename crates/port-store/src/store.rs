//! Opening the store, finding blobs, reading them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use port_content::hashing::Hasher;
use port_content::lock::{self, Lock};
use port_content::{FsError, fs, verify};
use port_layout::Descriptor;
use port_model::Digest;

use crate::beside::UnderWay;
use crate::error::StoreError;
use crate::format;
use crate::known::Fresh;

/// An open store. Cheap to clone; holds no lock.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Files that this process wrote and hashed.
    pub(crate) fresh: Arc<Fresh>,
    /// Files that are written while their blobs are gathered.
    pub(crate) under_way: Arc<UnderWay>,
}

/// A promise that garbage collection stays away while blobs are added and named. What was written meanwhile is
/// remembered for later processes when it ends.
#[derive(Debug)]
pub struct Operation {
    store: Store,
    _lock: Lock,
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.store.under_way.leave();
        self.store.settle();
    }
}

impl Store {
    /// Opens the store at `root`. One that is not there yet is empty; the first write makes it.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        format::check(root)?;
        Ok(Self { root: root.to_owned(), fresh: Arc::default(), under_way: Arc::default() })
    }

    /// Makes the store if there is none; every write starts here.
    pub(crate) fn ensure(&self) -> Result<(), StoreError> {
        format::ensure(&self.root)
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Says that blobs are about to be added; keep it until they are named.
    pub fn operation(&self) -> Result<Operation, StoreError> {
        self.ensure()?;
        let lock = lock::lock(&self.root.join("lock"), lock::Mode::Shared).map_err(|e| self.files(e))?;
        self.under_way.enter();
        Ok(Operation { store: self.clone(), _lock: lock })
    }

    /// Where a blob is, or would be. A digest's hex is safe as a file name.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// Whether a blob of this name is here; whether it is sound is another question.
    pub fn has(&self, digest: &Digest) -> bool {
        fs::exists(&self.blob_path(digest))
    }

    /// Whether the blob is here and sound: hashed now, or earlier and unchanged since. A damaged one, and one that the disk
    /// cannot read any more, is removed, so that it is fetched again.
    pub fn has_sound(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.blob_path(digest);
        let Ok(found) = fs::symlink_metadata(&path) else { return Ok(false) };
        if !found.is_file() {
            // A link, a pipe, a directory: nothing that we made, whatever it leads to.
            let removed = if found.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            return removed.map(|()| false).map_err(|e| self.files(e));
        }
        let sound = is_sound(self.digest_of_file(&path), digest)?;
        if !sound {
            fs::remove_file(&path).map_err(|e| self.files(e))?;
        }
        Ok(sound)
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

    /// Reads a blob of at most `limit` bytes, checked.
    pub fn read_blob(&self, digest: &Digest, size: u64, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let bytes = match fs::read(&path, limit) {
            Err(error) if error.is_not_found() => {
                return Err(StoreError::NoBlob { root: self.root.clone(), digest: digest.clone() });
            }
            other => other.map_err(|e| self.files(e))?,
        };
        let mut hasher = Hasher::of(digest.algorithm());
        hasher.update(&bytes);
        verify::check(hasher, digest, Some(size))
            .map_err(|source| StoreError::Mismatch { subject: path.display().to_string(), source })?;
        Ok(bytes)
    }

    /// Reads a blob again, whatever was remembered of it, and removes it where it is damaged; says whether it is there
    /// and sound.
    pub fn check_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.forget(&self.blob_path(digest))?;
        self.has_sound(digest)
    }

    /// Reads a small document, checked against its descriptor.
    pub fn read_document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, StoreError> {
        self.read_blob(&descriptor.digest, descriptor.size, port_content::limit::DOCUMENT)
    }

    pub(crate) fn files(&self, source: FsError) -> StoreError {
        StoreError::Files { root: self.root.clone(), source }
    }
}

/// What hashing a blob says of it. One that the disk cannot give back is as bad as one that it gives back wrong; a refusal is
/// neither.
fn is_sound(hashed: Result<(Digest, u64), StoreError>, digest: &Digest) -> Result<bool, StoreError> {
    match hashed {
        Err(StoreError::Outside(error)) if error.is_damage() => Ok(false),
        hashed => hashed.map(|(found, _)| found == *digest),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_blob_that_cannot_be_read_is_damaged_and_one_that_may_not_be_is_not() {
        let digest = port_content::hashing::digest_of(b"blob");
        let fails = |operation: &'static str, number: i32| {
            let error = FsError::new(operation, Path::new("blob"), io::Error::from_raw_os_error(number));
            is_sound(Err(StoreError::Outside(error)), &digest).ok()
        };
        let other = port_content::hashing::digest_of(b"other");
        assert_eq!(is_sound(Ok((digest.clone(), 4)), &digest).ok(), Some(true));
        assert_eq!(is_sound(Ok((other, 5)), &digest).ok(), Some(false));
        // As Linux numbers them on every architecture that Port runs on.
        let (input_output, refused, bad_message, unclean) = (5, 13, 74, 117);
        for (operation, number, expected) in [
            ("read", input_output, Some(false)),
            ("read", unclean, Some(false)),
            ("read", bad_message, Some(false)),
            ("read", refused, None),
            ("open", refused, None),
            ("open", input_output, None),
        ] {
            assert_eq!(fails(operation, number), expected, "{operation}: {number}");
        }
    }
}
