//! Garbage collection: blobs that no name leads to are removed, when nobody is adding any.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use port_content::{atomic, fs, lock};
use port_model::Digest;
use serde::Serialize;

use crate::error::StoreError;
use crate::store::Store;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// How many blobs.
    pub blobs: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// What they took on the disk, in bytes: less, where they had holes. A blob that is also a file in the cache frees nothing before
    /// that is gone.
    pub disk_bytes: u64,
    /// How many downloads that were not complete.
    pub partial: u64,
    /// What they took on the disk, in bytes.
    pub partial_bytes: u64,
}

/// What becomes of blobs that only a push or a copy needs: packs, and compressed forms, whose file is here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Packs {
    /// They stay.
    #[default]
    Keep,
    /// They go, where the file is here and, read again, sound.
    Drop,
}

impl Store {
    /// Removes what no name leads to. Waits for running operations to end.
    pub fn collect_garbage(&self, packs: Packs) -> Result<Collected, StoreError> {
        self.ensure()?;
        let lock = lock::lock(&self.root().join("lock"), lock::Mode::Exclusive);
        let _lock = lock.map_err(|e| self.files(e))?;
        self.collect(packs)
    }

    /// The same where no operation is running; `None` where one is.
    pub fn try_collect_garbage(&self, packs: Packs) -> Result<Option<Collected>, StoreError> {
        self.ensure()?;
        let lock = lock::try_lock(&self.root().join("lock"), lock::Mode::Exclusive);
        let Some(_lock) = lock.map_err(|e| self.files(e))? else { return Ok(None) };
        self.collect(packs).map(Some)
    }

    /// With the lock held alone.
    fn collect(&self, packs: Packs) -> Result<Collected, StoreError> {
        let live = self.live(packs)?;
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
            let removed = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|e| self.files(e))?;
            collected.blobs += 1;
            collected.bytes += metadata.len();
            collected.disk_bytes += on_disk(&metadata);
        }
        self.count_partial(&mut collected)?;
        // With the lock held alone nobody continues a download; one that is wanted starts anew.
        fs::remove_dir_all(&self.root().join("partial")).map_err(|e| self.files(e))?;
        for directory in [self.root().to_owned(), self.root().join("files")] {
            atomic::sweep_own(&directory).map_err(|e| self.files(e))?;
        }
        self.tidy_records()?;
        Ok(collected)
    }

    fn count_partial(&self, collected: &mut Collected) -> Result<(), StoreError> {
        let directory = self.root().join("partial");
        if !fs::exists(&directory) {
            return Ok(());
        }
        for path in fs::read_dir(&directory).map_err(|e| self.files(e))? {
            let metadata = fs::symlink_metadata(&path).map_err(|e| self.files(e))?;
            collected.partial_bytes += on_disk(&metadata);
            // Journals and locks lie beside the download that they belong to.
            let is_download = path.extension().is_none_or(|extension| extension == "copy");
            collected.partial += u64::from(is_download);
        }
        Ok(())
    }

    /// The blobs that `index.json` leads to, by hex digest: manifests, and indexes that were copied here.
    fn live(&self, packs: Packs) -> Result<BTreeSet<String>, StoreError> {
        let mut live = BTreeSet::new();
        let mut sound: BTreeMap<Digest, bool> = BTreeMap::new();
        let mut waiting = self.index()?.manifests;
        while let Some(descriptor) = waiting.pop() {
            if !live.insert(descriptor.digest.hex().to_owned()) {
                continue;
            }
            let reached = self.reach(&descriptor)?;
            for need in &reached.needs {
                let mut wanted = need.all();
                if packs == Packs::Drop
                    && let Some((file, packs)) = need.packs()
                    && !packs.is_empty()
                    && self.is_sound(file, &mut sound)?
                {
                    wanted.retain(|blob| !packs.contains(blob));
                }
                live.extend(wanted.into_iter().map(|blob| blob.hex().to_owned()));
            }
            waiting.extend(reached.documents);
        }
        Ok(live)
    }

    /// Read again, once: what could replace a damaged file is not thrown away for it.
    fn is_sound(&self, file: &Digest, known: &mut BTreeMap<Digest, bool>) -> Result<bool, StoreError> {
        if let Some(sound) = known.get(file) {
            return Ok(*sound);
        }
        let sound = self.check_blob(file)?;
        known.insert(file.clone(), sound);
        Ok(sound)
    }
}

/// Holes take nothing.
fn on_disk(metadata: &Metadata) -> u64 {
    metadata.blocks() * 512
}
