//! Doubt: what is known of the files that held a damaged blob is believed no more, and those files can be found and replaced.
//!
//! A cache path may be the damaged blob under another name, or share its blocks on the disk; its record looks as good as the
//! blob's did. A doubted record keeps saying which file it is, so that a repair finds it later.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use port_content::fs;
use port_model::Digest;

use crate::error::StoreError;
use crate::known::Record;
use crate::store::Store;

impl Store {
    /// Believes no record that names one of these any more.
    pub(crate) fn doubt(&self, digests: &BTreeSet<Digest>) -> Result<(), StoreError> {
        if digests.is_empty() {
            return Ok(());
        }
        for (place, record) in self.records()? {
            if digests.contains(&record.digest) {
                self.write_doubted(&place, record)?;
            }
        }
        Ok(())
    }

    /// The files outside the store that hold this blob, as far as records and inodes tell: those that nobody wrote to since,
    /// and those that are other names of the blob.
    pub fn handed_out(&self, digest: &Digest) -> Result<Vec<PathBuf>, StoreError> {
        let blob = self.blob_path(digest);
        let inode = |path: &Path| fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let (of_blob, absolute) = (inode(&blob), std::path::absolute(&blob).ok());
        let mut found = Vec::new();
        for (_, record) in self.records()? {
            let is_blob = std::path::absolute(&record.path).ok() == absolute;
            if &record.digest != digest || is_blob {
                continue;
            }
            let untouched = fs::metadata(&record.path).is_ok_and(|metadata| record.describes(&metadata));
            if untouched || (of_blob.is_some() && inode(&record.path) == of_blob) {
                found.push(record.path);
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The files below `directory` that were to hold this blob, whatever they hold now: of a blob that is gone, no inode tells
    /// any more which of them was its other name.
    pub fn handed_out_below(&self, directory: &Path, digest: &Digest) -> Result<Vec<PathBuf>, StoreError> {
        let Ok(directory) = std::path::absolute(directory) else { return Ok(Vec::new()) };
        let is_below = |path: &Path| std::path::absolute(path).is_ok_and(|path| path.starts_with(&directory));
        let records = self.records()?.into_iter().map(|(_, record)| record);
        let of_blob = records.filter(|record| &record.digest == digest && is_below(&record.path));
        Ok(of_blob.map(|record| record.path).filter(|path| fs::exists(path)).collect())
    }

    /// Takes in a blob that `path` may hold; says whether it did. What lies there is hashed, whatever is known of it.
    pub fn adopt_copy(&self, path: &Path, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        let Ok((source, metadata)) = fs::open_regular(path) else { return Ok(false) };
        if metadata.len() != size {
            return Ok(false);
        }
        let mut ingest = self.ingest(&path.display().to_string())?;
        let place = ingest.path().to_owned();
        port_content::sparse::copy_flushing(&source, ingest.file(), &place).map_err(|e| self.files(e))?;
        match ingest.commit(Some((digest, size))) {
            Err(StoreError::Mismatch { .. }) => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// Makes `path`, a file that [`Store::handed_out`] gave, hold the blob again; says whether it had to.
    pub fn replace(&self, path: &Path, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        let record = self.record_path(path).map(|place| (Self::read_record(&place), place));
        if let Some((Some(record), place)) = record {
            self.write_doubted(&place, record)?;
        }
        let read_only = fs::metadata(path)
            .map(|metadata| metadata.permissions().mode() & 0o222 == 0)
            .map_err(StoreError::Outside)?;
        if self.digest_of_file(path).is_ok_and(|(found, _)| &found == digest) {
            return Ok(false);
        }
        // As they were handed out: the cache is only read, a guest may write to the local file.
        if read_only { self.share(digest, size, path) } else { self.materialise(digest, size, path) }
    }

    /// Removes records of files that are gone.
    pub(crate) fn tidy_records(&self) -> Result<(), StoreError> {
        for (place, record) in self.records()? {
            if !fs::exists(&record.path) {
                fs::remove_file(&place).map_err(|e| self.files(e))?;
            }
        }
        Ok(())
    }

    /// Every record that can be read.
    fn records(&self) -> Result<Vec<(PathBuf, Record)>, StoreError> {
        let directory = self.root().join("files");
        if !fs::exists(&directory) {
            return Ok(Vec::new());
        }
        let places = fs::read_dir(&directory).map_err(|e| self.files(e))?.into_iter();
        Ok(places.filter_map(|place| Self::read_record(&place).map(|record| (place, record))).collect())
    }
}
