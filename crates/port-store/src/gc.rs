//! Garbage collection: blobs that no name leads to are removed, when nobody is adding any.

use std::collections::BTreeSet;

use port_content::{atomic, fs, lock};
use serde::Serialize;

use crate::error::StoreError;
use crate::reach::Need;
use crate::store::Store;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// How many blobs.
    pub blobs: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
}

impl Store {
    /// Removes what no name leads to. Waits for running operations to end.
    pub fn collect_garbage(&self) -> Result<Collected, StoreError> {
        self.ensure()?;
        let lock = lock::lock(&self.root().join("lock"), lock::Mode::Exclusive);
        let _lock = lock.map_err(|e| self.files(e))?;
        let live = self.live()?;
        let mut collected = Collected::default();
        let blobs = fs::read_dir(&self.root().join("blobs/sha256")).map_err(|e| self.files(e))?;
        if !blobs.is_empty() && !fs::exists(&self.root().join("index.json")) {
            return Err(StoreError::NoIndex { root: self.root().to_owned() });
        }
        for path in blobs {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if live.contains(&name) {
                continue;
            }
            // What is not named like a blob is a leftover of a killed process: with the lock held alone,
            // nobody is writing it.
            let metadata = fs::symlink_metadata(&path).map_err(|e| self.files(e))?;
            let size = metadata.len();
            let removed = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|e| self.files(e))?;
            collected.blobs += 1;
            collected.bytes += size;
        }
        // With the lock held alone nobody continues a download; one that is wanted starts anew.
        fs::remove_dir_all(&self.root().join("partial")).map_err(|e| self.files(e))?;
        for directory in [self.root().to_owned(), self.root().join("files")] {
            atomic::sweep_beside(&directory.join("any")).map_err(|e| self.files(e))?;
        }
        Ok(collected)
    }

    /// The blobs that `index.json` leads to, by hex digest: manifests, and indexes that were copied here.
    fn live(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut live = BTreeSet::new();
        let mut waiting = self.index()?.manifests;
        while let Some(descriptor) = waiting.pop() {
            if !live.insert(descriptor.digest.hex().to_owned()) {
                continue;
            }
            let reached = self.reach(&descriptor)?;
            live.extend(reached.needs.iter().flat_map(Need::all).map(|blob| blob.hex().to_owned()));
            waiting.extend(reached.documents);
        }
        Ok(live)
    }
}
