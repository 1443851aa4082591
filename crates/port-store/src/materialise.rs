//! Blobs handed out as files.
//!
//! | | what it is | for |
//! | --- | --- | --- |
//! | [`Store::materialise`] | a file of its own: a reflink, else a copy that keeps holes | what a guest may write |
//! | [`Store::materialise_aside`] | the same, past the page cache, or [written before](Store::materialise_beside) | what is not read at once |
//! | [`Store::share`] | a reflink, else another name of the blob, read-only | the cache, which is only read |
//!
//! Neither is hashed again: the blob was, and the kernel copies it. A blob that is not what its name says is found before it
//! is handed out, and removed.

use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use port_content::atomic::{self, AtomicFile};
use port_content::fs::Context as _;
use port_content::{FsError, aside, fs, sparse};
use port_model::Digest;

use crate::error::StoreError;
use crate::known::Written;
use crate::store::Store;

impl Store {
    /// Makes `target` a file of its own with the blob's content. Says whether anything was written: a target known
    /// to hold these bytes, and to be no other name of the blob, is left alone.
    pub fn materialise(&self, digest: &Digest, size: u64, target: &Path) -> Result<bool, StoreError> {
        self.materialise_by(sparse::copy_flushing, digest, size, target)
    }

    /// As [`Store::materialise`], for a file that nobody reads at once: what was [begun](Store::materialise_beside) is taken, and a
    /// large copy takes no memory.
    pub fn materialise_aside(&self, digest: &Digest, size: u64, target: &Path) -> Result<bool, StoreError> {
        self.materialise_by(aside::copy, digest, size, target)
    }

    fn materialise_by(
        &self,
        copy: fn(&File, &File, &Path) -> Result<u64, FsError>,
        digest: &Digest,
        size: u64,
        target: &Path,
    ) -> Result<bool, StoreError> {
        if self.holds(target, digest) && !is_shared(target) {
            return Ok(false);
        }
        let blob = self.open_sound(digest, size)?;
        let copied = self.copied_beside(target, digest);
        let named = copied.and_then(|copied| AtomicFile::of_unnamed(&copied, target).ok());
        let file = match named {
            Some(file) => file,
            None => {
                let mut file = AtomicFile::create(target).map_err(StoreError::Outside)?;
                copy(&blob, file.file(), target).map_err(StoreError::Outside)?;
                file
            }
        };
        self.commit(file, digest, target)
    }

    /// Makes `target` a read-only view of the blob. Says whether anything was written.
    ///
    /// Where neither reflink nor link can be had, on another file system, it is a copy.
    pub fn share(&self, digest: &Digest, size: u64, target: &Path) -> Result<bool, StoreError> {
        if self.holds(target, digest) {
            return Ok(false);
        }
        let blob = self.open_sound(digest, size)?;
        let mut file = AtomicFile::create(target).map_err(StoreError::Outside)?.mode(0o444);
        if sparse::reflink(&blob, file.file()) {
            return self.commit(file, digest, target);
        }
        drop(file);
        let written = Written::of(&blob, target)?;
        self.protect(&blob, digest)?;
        match atomic::link(&self.blob_path(digest), target) {
            Ok(()) => self.linked(&blob, written, digest, target),
            // Another file system, or one without links.
            Err(_) => self.materialise(digest, size, target),
        }
    }

    pub(crate) fn holds(&self, target: &Path, digest: &Digest) -> bool {
        self.known_digest(target).is_some_and(|(known, _)| &known == digest)
    }

    /// Opens a blob that is what its name says.
    fn open_sound(&self, digest: &Digest, size: u64) -> Result<File, StoreError> {
        let blob = self.open_blob(digest, size)?;
        if self.has_sound(digest)? {
            return Ok(blob);
        }
        Err(StoreError::NoBlob { root: self.root().to_owned(), digest: digest.clone() })
    }

    fn commit(&self, mut file: AtomicFile, digest: &Digest, target: &Path) -> Result<bool, StoreError> {
        let written = Written::of(file.file(), target)?;
        let file = file.commit().map_err(StoreError::Outside)?;
        self.remember(target, &file, written, digest)?;
        atomic::sweep_beside(target).map_err(StoreError::Outside)?;
        Ok(true)
    }

    /// Makes a blob read-only that a kill left writable, before somebody is given it under another name.
    fn protect(&self, blob: &File, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        let metadata = blob.metadata().context("inspect", &path).map_err(|e| self.files(e))?;
        if metadata.permissions().mode() & 0o222 == 0 {
            return Ok(());
        }
        fs::set_mode(&path, 0o444).map_err(|e| self.files(e))
    }

    /// A link moves the change time of the file that it names, so both names are remembered anew.
    fn linked(
        &self,
        blob: &File,
        written: Written,
        digest: &Digest,
        target: &Path,
    ) -> Result<bool, StoreError> {
        self.remember(target, blob, written, digest)?;
        self.remember(&self.blob_path(digest), blob, written, digest)?;
        atomic::sweep_beside(target).map_err(StoreError::Outside)?;
        Ok(true)
    }
}

fn is_shared(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1)
}
