//! Digests of files outside the store, so that an image of gigabytes is not hashed at every use.
//!
//! A record holds the file's device, inode, size, modification and change time. It is believed only while
//! all of them are as recorded, and only if the file had been at rest when hashing began: a write in the same
//! clock tick would leave all five unchanged (git calls this "racily clean"). The clock is the file
//! system's own, read off a new file beside the records. A program cannot set a change time back, so
//! copying an old modification time onto a changed file does not deceive.
//!
//! Damage below the file system changes none of them. Of a large file some blocks are compared with what they were
//! (`samples.rs`), once in a process; `verify` reads everything again.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use port_content::atomic::AtomicFile;
use port_content::fs::Context as _;
use port_content::{FsError, fs, hashing, limit, sparse};
use port_model::Digest;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::samples::{LARGE, Samples};
use crate::store::Store;

/// How long a file must have been at rest, in nanoseconds: several ticks of the coarsest kernel clock (10 ms).
const AT_REST: i128 = 30_000_000;
/// Bounds of one wait, in nanoseconds: longer than a clock tick, so that each wait moves the clock.
const SHORTEST_WAIT: u64 = 12_000_000;
const LONGEST_WAIT: u64 = 30_000_000;

/// Which file it is, and when it was last written: device, inode, size, modification and change time.
type Stamp = (u64, u64, u64, i128, i128);

fn stamp(metadata: &Metadata) -> Stamp {
    let modified = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
    (metadata.dev(), metadata.ino(), metadata.len(), modified, change_time(metadata))
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: i128,
    changed: i128,
    pub(crate) digest: Digest,
    /// When hashing began, in nanoseconds by the clock of the store's file system.
    began: i128,
    /// Some blocks, where the file is large. Earlier records have none, and are not believed of large files.
    #[serde(default)]
    samples: Option<Samples>,
}

/// What is known of a file.
pub(crate) enum Knowledge {
    /// Nothing that can be believed.
    Unknown,
    /// It has this digest and size.
    Known(Digest, u64),
    /// Nobody wrote to it since it had this digest, and yet its bytes are others.
    Rotten(Digest),
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

fn change_time(metadata: &Metadata) -> i128 {
    nanoseconds(metadata.ctime(), metadata.ctime_nsec())
}

impl Record {
    fn new(path: &Path, metadata: &Metadata, digest: &Digest, began: i128) -> Self {
        let (device, inode, size, modified, changed) = stamp(metadata);
        // Absolute, so that it is found from any directory.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let digest = digest.clone();
        Self { path, device, inode, size, modified, changed, digest, began, samples: None }
    }

    /// With blocks of the file, where it is large. Without, where they cannot be read: then it is hashed again next time.
    fn sampled(mut self, file: &File) -> Self {
        if self.size >= LARGE {
            self.samples = Samples::take(file, self.size).ok();
        }
        self
    }

    /// Whether the file is still the one that was hashed, as far as its inode tells.
    pub(crate) fn describes(&self, metadata: &Metadata) -> bool {
        stamp(metadata) == (self.device, self.inode, self.size, self.modified, self.changed)
    }

    /// Whether blocks of the file are as they were; `None` where nothing is known of them.
    fn samples_hold(&self) -> Option<bool> {
        if self.size < LARGE {
            return Some(true);
        }
        let (file, metadata) = fs::open_regular(&self.path).ok()?;
        let samples = self.samples.as_ref().filter(|_| self.describes(&metadata))?;
        // A block that cannot be read is as bad as one that reads wrong: both are found by hashing.
        Some(samples.hold(&file, self.size).unwrap_or(false))
    }
}

/// What this process wrote and hashed, by the path of its record, until it is written down.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    records: Mutex<BTreeMap<PathBuf, Record>>,
    /// Whether files' samples held, in this process: one look is enough, and what it found is not forgotten.
    looked_at: Mutex<BTreeMap<Stamp, bool>>,
}

impl Fresh {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked_at(&self) -> MutexGuard<'_, BTreeMap<Stamp, bool>> {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A torn record is no record, so it need not survive a power cut.
fn write(mut file: AtomicFile, record: &Record) -> Result<(), FsError> {
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    file.write_all(&bytes).context("write", &record.path)?;
    // Whoever may only read the store believes it as well, and does not hash gigabytes at every use.
    file.mode(0o644).commit_unflushed()
}

/// What changes when a file's content is written: size and modification time. Its change time moves also when another
/// file takes its name, which leaves an open file whole.
pub(crate) fn content_stamp(metadata: &Metadata) -> (u64, i128) {
    (metadata.len(), nanoseconds(metadata.mtime(), metadata.mtime_nsec()))
}

/// What a file was when its content was complete.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written((u64, i128));

impl Written {
    /// Of a file that nobody else can write to yet.
    pub(crate) fn of(file: &File, path: &Path) -> Result<Self, StoreError> {
        let metadata = file.metadata().context("inspect", path).map_err(StoreError::Outside)?;
        Ok(Self(content_stamp(&metadata)))
    }
}

/// A record being written while its file is hashed.
#[derive(Debug)]
pub(crate) struct Note {
    file: AtomicFile,
    path: PathBuf,
    began: i128,
}

impl Store {
    /// Digest and size of the file, if it is known and has not changed since.
    pub fn known_digest(&self, path: &Path) -> Option<(Digest, u64)> {
        match self.knowledge(path, &fs::metadata(path).ok().filter(Metadata::is_file)?) {
            Knowledge::Known(digest, size) => Some((digest, size)),
            Knowledge::Unknown | Knowledge::Rotten(_) => None,
        }
    }

    /// What is known of a file that has this metadata.
    pub(crate) fn knowledge(&self, path: &Path, metadata: &Metadata) -> Knowledge {
        self.look(path, metadata).unwrap_or(Knowledge::Unknown)
    }

    fn look(&self, path: &Path, metadata: &Metadata) -> Option<Knowledge> {
        let record_path = self.record_path(path)?;
        if let Some(record) = self.fresh.lock().get(&record_path) {
            let known = record.describes(metadata);
            return known.then(|| Knowledge::Known(record.digest.clone(), record.size));
        }
        // A record that cannot be read is no record: the file is hashed again and the record replaced.
        let record = Self::read_record(&record_path)?;
        if !record.describes(metadata) || record.began - record.changed < AT_REST {
            return None;
        }
        // A hard link is the same file: its blocks need no second look.
        let stamp = stamp(metadata);
        let seen = self.fresh.looked_at().get(&stamp).copied();
        let holds = match seen {
            Some(holds) => holds,
            None => record.samples_hold()?,
        };
        self.fresh.looked_at().insert(stamp, holds);
        Some(match holds {
            true => Knowledge::Known(record.digest, record.size),
            false => Knowledge::Rotten(record.digest),
        })
    }

    /// Reads one record.
    pub(crate) fn read_record(place: &Path) -> Option<Record> {
        serde_json::from_slice(&fs::read(place, limit::RECORD).ok()?).ok()
    }

    /// Writes a record so that it is not believed: its file was never at rest.
    pub(crate) fn write_doubted(&self, place: &Path, record: Record) -> Result<(), StoreError> {
        self.fresh.lock().remove(place);
        self.fresh.looked_at().clear();
        let file = AtomicFile::create(place).map_err(|e| self.files(e))?;
        write(file, &Record { began: record.changed, ..record }).map_err(|e| self.files(e))
    }

    /// Digest and size of the file: from the record, or hashed now and remembered.
    ///
    /// Of a file that rotted it is the digest of what lies there, and the record stays: it is what tells of the rot.
    pub fn digest_of_file(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        self.hashed(path).map(|(found, _)| found)
    }

    /// As [`Store::digest_of_file`], for a file that is about to be published.
    ///
    /// # Errors
    /// [`StoreError::Rotten`] where its bytes are others although nobody wrote to it.
    pub fn digest_to_publish(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        match self.hashed(path)? {
            (found, None) => Ok(found),
            ((found, _), Some(expected)) => {
                Err(StoreError::Rotten { path: path.to_owned(), expected, found })
            }
        }
    }

    /// Digest and size of the file, and what it held before it rotted.
    fn hashed(&self, path: &Path) -> Result<((Digest, u64), Option<Digest>), StoreError> {
        if let Some(known) = self.known_digest(path) {
            return Ok((known, None));
        }
        let (file, before) = fs::open_regular(path).map_err(StoreError::Outside)?;
        let knowledge = self.knowledge(path, &before);
        // A store that cannot be written, of another user or on a full disk, remembers nothing; the digest is the same.
        let note = self.begin_note(path).ok();
        let (digest, size) = sparse::digest(&file).context("read", path).map_err(StoreError::Outside)?;
        if let Knowledge::Rotten(expected) = knowledge
            && expected != digest
        {
            return Ok(((digest, size), Some(expected)));
        }
        if let Some(note) = note {
            let _ = self.finish_note(note, &file, &before, &digest);
        }
        Ok(((digest, size), None))
    }

    /// Remembers the digest of a file whose content this process has just written and hashed: `file` is the open
    /// file itself, so that another one that took its path meanwhile is not taken for it, and `written` what it was before it
    /// got that path. What somebody wrote to it since then was not hashed, and is not vouched for.
    ///
    /// This process knows it at once; others when the [operation](Store::operation) ends.
    pub(crate) fn remember(
        &self,
        path: &Path,
        file: &File,
        written: Written,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let metadata = file.metadata().context("inspect", path).map_err(StoreError::Outside)?;
        if let Some(place) = self.record_path(path) {
            if content_stamp(&metadata) == written.0 {
                self.fresh.lock().insert(place, Record::new(path, &metadata, digest, 0));
            } else {
                self.fresh.lock().remove(&place);
            }
        }
        Ok(())
    }

    /// Forgets what is known of the file.
    pub(crate) fn forget(&self, path: &Path) -> Result<(), StoreError> {
        let Some(place) = self.record_path(path) else { return Ok(()) };
        self.fresh.lock().remove(&place);
        self.fresh.looked_at().clear();
        fs::remove_file(&place).map_err(|e| self.files(e))
    }

    /// Writes down what was remembered, once all of it is at rest. A record that cannot be written costs the next process
    /// a hash, and nothing else.
    pub(crate) fn settle(&self) {
        let fresh = std::mem::take(&mut *self.fresh.lock());
        let Some(newest) = fresh.values().map(|record| record.changed).max() else { return };
        let Some(began) = self.at_rest(newest) else { return };
        for (place, record) in fresh {
            let Ok((file, metadata)) = fs::open_regular(&record.path) else { continue };
            let unchanged = record.describes(&metadata);
            if unchanged && let Ok(place) = AtomicFile::create(&place) {
                let _ = write(place, &Record { began, ..record }.sampled(&file));
            }
        }
    }

    /// Waits until a file that last changed at `changed` has been at rest; gives the time by the store's clock.
    ///
    /// `None` where that clock stands still or runs backwards.
    fn at_rest(&self, changed: i128) -> Option<i128> {
        let clock = || self.begin_note(self.root()).ok().map(|note| note.began);
        let mut now = clock()?;
        // Each turn waits for what is missing; the file system's clock may lag a tick behind the sleep.
        while let Ok(missing @ 1..) = u64::try_from(changed + AT_REST - now) {
            std::thread::sleep(Duration::from_nanos(missing.clamp(SHORTEST_WAIT, LONGEST_WAIT)));
            let previous = std::mem::replace(&mut now, clock()?);
            if now <= previous {
                return None;
            }
        }
        Some(now)
    }

    /// Opens the record of `path` for writing; its creation tells the time.
    pub(crate) fn begin_note(&self, path: &Path) -> Result<Note, StoreError> {
        self.ensure()?;
        let place = self.record_path(path).unwrap_or_else(|| self.root().join("files/none"));
        let mut file = AtomicFile::create(&place).map_err(|e| self.files(e))?;
        let metadata = file.file().metadata().context("inspect", &place).map_err(|e| self.files(e))?;
        Ok(Note { file, path: path.to_owned(), began: change_time(&metadata) })
    }

    /// Writes the record: `metadata` of `file` was read before hashing, `digest` is what hashing gave.
    pub(crate) fn finish_note(
        &self,
        note: Note,
        file: &File,
        metadata: &Metadata,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let record = Record::new(&note.path, metadata, digest, note.began).sampled(file);
        write(note.file, &record).map_err(|e| self.files(e))
    }

    /// One record per path. The path is made absolute, so that it means the same file from anywhere.
    pub(crate) fn record_path(&self, path: &Path) -> Option<PathBuf> {
        let absolute = std::path::absolute(path).ok()?;
        let name = hashing::digest_of(absolute.as_os_str().as_encoded_bytes());
        Some(self.root().join("files").join(name.hex()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use port_content::fs;

    use super::*;

    #[test]
    fn what_was_written_to_after_it_was_hashed_is_not_vouched_for() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let path = directory.path().join("rootfs.ext4");
        let file = fs::open_writable(&path).unwrap();
        file.write_all_at(b"hashed", 0).unwrap();
        let digest = hashing::digest_of(b"hashed");
        let written = Written::of(&file, &path).unwrap();
        store.remember(&path, &file, written, &digest).unwrap();
        assert_eq!(store.known_digest(&path), Some((digest.clone(), 6)));
        // Somebody who found it at its path, before its metadata was read.
        file.write_all_at(b"others", 0).unwrap();
        let later = file.metadata().unwrap().modified().unwrap() + Duration::from_secs(1);
        file.set_modified(later).unwrap();
        store.remember(&path, &file, written, &digest).unwrap();
        assert_eq!(store.known_digest(&path), None);
    }

    /// A disk that is full once a record's file is there.
    struct Full;

    impl port_content::witness::Witness for Full {
        fn sees(&self, step: &port_content::witness::Step<'_>) -> std::io::Result<Option<usize>> {
            match step {
                port_content::witness::Step::Append(..) => Err(std::io::ErrorKind::StorageFull.into()),
                _ => Ok(None),
            }
        }
    }

    #[test]
    fn a_record_that_cannot_be_written_keeps_nobody_from_the_digest() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let path = directory.path().join("rootfs.ext4");
        port_content::atomic::write(&path, b"hashed").unwrap();
        let place = store.record_path(&path).unwrap();
        let found = || store.digest_of_file(&path).unwrap();
        let full = port_content::witness::seen_by(std::rc::Rc::new(Full), found);
        assert_eq!(full, (hashing::digest_of(b"hashed"), 6));
        assert!(!place.exists(), "nothing is remembered");
        assert_eq!(found(), full);
        // Others may read it where they may read the store.
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o644);
    }
}
