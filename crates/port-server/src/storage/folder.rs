//! A folder as storage: one file per object, below the folder by its key.
//!
//! ```text
//! <root>/<key>            objects, read-only; written beside their place, flushed, and given their name
//! <root>/_uploads/<key>   uploads that have not ended
//! <root>/_locks/00 … ff   what conditional writes of small documents wait for: 256 files, by the key's hash
//! ```
//!
//! CRASH: a kill leaves a hidden temporary file, which nobody lists, or an upload with the bytes that arrived.
//! NOTE: a version is the digest of a document's bytes, so that a write that changed nothing disturbs nobody.

mod hot;
mod reading;

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use port_content::hashing::digest_of;
use port_content::lock::{self, Mode};
use port_content::{FsError, atomic, fs};
use rustix::io::Errno;

use self::hot::Hot;
use self::reading::Readers;
use super::{
    ByteRange, Child, Condition, Content, Document, Key, Outcome, StagedUpload, Storage, StorageError,
    StorageErrorKind,
};

const UPLOADS: &str = "_uploads";
const LOCKS: &str = "_locks";
/// How often something is tried again that a pruned directory spoiled.
const TRIES: u32 = 100;
/// Objects are read-only: a blob may have several names.
const MODE: u32 = 0o444;

/// See the module.
#[derive(Debug, Clone)]
pub struct Folder {
    root: Arc<PathBuf>,
    hot: Hot,
    readers: Readers,
}

impl Folder {
    /// Opens the folder at `root`, making it.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(root: &Path) -> Result<Self, FsError> {
        fs::create_dir_all(root)?;
        Ok(Self { root: Arc::new(root.to_owned()), hot: Hot::default(), readers: Readers::default() })
    }

    fn object(&self, key: &Key) -> PathBuf {
        self.root.join(key.path())
    }

    fn staged(&self, upload: &Key) -> PathBuf {
        self.root.join(UPLOADS).join(upload.path())
    }

    /// Runs file operations where they may block.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &Key,
        work: impl FnOnce(&Self) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let folder = self.clone();
        let result = tokio::task::spawn_blocking(move || work(&folder)).await;
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(operation, key, error)),
            Err(error) => Err(self.error(StorageErrorKind::Failed, operation, key, error)),
        }
    }

    fn failed(&self, operation: &'static str, key: &Key, error: FsError) -> StorageError {
        let kind = match Errno::from_io_error(&error.source) {
            Some(Errno::NOSPC | Errno::DQUOT) => StorageErrorKind::Full,
            Some(Errno::ROFS | Errno::ACCESS | Errno::PERM) => StorageErrorKind::ReadOnly,
            _ => StorageErrorKind::Failed,
        };
        self.error(kind, operation, key, error)
    }

    fn error(
        &self,
        kind: StorageErrorKind,
        operation: &'static str,
        key: &Key,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> StorageError {
        let (storage, key) = (self.describe(), key.to_string());
        StorageError { kind, storage, operation, key, source: Box::new(source) }
    }

    /// Keeps other conditional writers of this key out, here and in other processes.
    fn lock(&self, key: &Key) -> Result<lock::Lock, FsError> {
        let shard = digest_of(key.as_str().as_bytes()).hex().get(..2).unwrap_or("00").to_owned();
        lock::lock(&self.root.join(LOCKS).join(shard), Mode::Exclusive)
    }

    fn write(&self, key: &Key, bytes: &[u8], condition: &Condition) -> Result<Outcome, FsError> {
        let path = self.object(key);
        let _lock = self.lock(key)?;
        if !holds(&path, condition)? {
            return Ok(Outcome::Refused);
        }
        let mut file = again(|| atomic::AtomicFile::create(&path))?.mode(MODE);
        fs::Context::context(io::Write::write_all(&mut file, bytes), "write", &path)?;
        file.commit()?;
        Ok(Outcome::Done)
    }

    fn read_anew(&self, key: &Key, path: &Path, limit: u64) -> Result<Option<Document>, FsError> {
        let before = reading::identity(path);
        let found = reading::document(path, limit)?;
        if let Some(document) = &found {
            self.hot.note(key, before, reading::identity(path), document, Instant::now());
        }
        Ok(found)
    }

    fn remove(&self, key: &Key, condition: &Condition) -> Result<Outcome, FsError> {
        let path = self.object(key);
        let _lock = self.lock(key)?;
        if !fs::exists(&path) || !holds(&path, condition)? {
            return Ok(Outcome::Refused);
        }
        fs::remove_file(&path)?;
        match self.sync_parent(&path) {
            // Somebody who removed the last but one object of the directory removes it now.
            Err(error) if !error.is_not_found() => return Err(error),
            _ => self.prune(&path),
        }
        Ok(Outcome::Done)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<bool, FsError> {
        for _ in 0..TRIES {
            fs::create_dir_all(to.parent().unwrap_or(&self.root))?;
            // A rename between two names of one file does nothing and leaves both.
            if reading::are_one_file(from, to)? {
                fs::remove_file(to)?;
            }
            match rustix::fs::rename(from, to) {
                Ok(()) => {
                    self.sync_parent(to)?;
                    // A directory that went is flushed with the one that it was in.
                    let _gone_with_its_directory = self.sync_parent(from);
                    self.prune(from);
                    return Ok(true);
                }
                Err(Errno::NOENT) if !fs::exists(from) => return Ok(false),
                // The target's directory went between its making and its use.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(FsError::new("move", from, error.into())),
            }
        }
        Ok(false)
    }

    fn sync_parent(&self, path: &Path) -> Result<(), FsError> {
        fs::sync_dir(path.parent().unwrap_or(&self.root))
    }

    /// Removes directories that have become empty, so that what was deleted leaves no trace in listings. Those directly below
    /// the root stay: they are made again all the time.
    fn prune(&self, path: &Path) {
        let is_inside = |path: &&Path| path.parent().is_some_and(|parent| parent != self.root.as_path());
        let above = path.ancestors().skip(1).take_while(is_inside);
        for directory in above {
            if fs::remove_dir(directory).is_err() {
                return;
            }
        }
    }

    fn append_to(&self, upload: &Key, at: u64, bytes: &[u8]) -> Result<Outcome, FsError> {
        let path = self.staged(upload);
        if !fs::exists(&path) {
            return Ok(Outcome::Refused);
        }
        let file = fs::open_writable_itself(&path)?;
        // Two connections may continue one upload: the other one is told that it is behind.
        if file.try_lock().is_err() {
            return Ok(Outcome::Refused);
        }
        let found = fs::Context::context(file.metadata(), "inspect", &path)?.len();
        if found != at {
            return Ok(Outcome::Refused);
        }
        fs::Context::context(file.write_all_at(bytes, at), "write", &path)?;
        Ok(Outcome::Done)
    }

    fn finish(&self, upload: &Key, size: u64, key: &Key) -> Result<Outcome, FsError> {
        let (from, to) = (self.staged(upload), self.object(key));
        match fs::try_metadata(&from)? {
            Some(metadata) if metadata.len() == size => {}
            _ => return Ok(Outcome::Refused),
        }
        fs::set_mode(&from, MODE)?;
        again(|| {
            fs::create_dir_all(to.parent().unwrap_or(&self.root))?;
            atomic::place(&from, &to)
        })?;
        self.prune(&from);
        Ok(Outcome::Done)
    }
}

/// Tries again where a directory went between its making and its use: another object in it was the last one and was deleted.
fn again<T>(mut work: impl FnMut() -> Result<T, FsError>) -> Result<T, FsError> {
    let mut result = work();
    for _ in 0..TRIES {
        match result {
            Err(error) if error.is_not_found() => result = work(),
            other => return other,
        }
    }
    result
}

/// Whether a condition holds for what is at `path`. The caller holds the key's lock.
fn holds(path: &Path, condition: &Condition) -> Result<bool, FsError> {
    Ok(match condition {
        Condition::Always => true,
        Condition::Absent => !fs::exists(path),
        Condition::Version(expected) => match reading::document(path, u64::MAX)? {
            Some(found) => found.version == *expected,
            None => false,
        },
    })
}

#[async_trait]
impl Storage for Folder {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    async fn ready(&self) -> Result<(), StorageError> {
        let Ok(key) = Key::new(LOCKS) else { return Ok(()) };
        let probe = |folder: &Self| {
            let path = folder.root.join(LOCKS).join("ready");
            atomic::AtomicFile::create(&path)?.commit_unflushed()
        };
        self.run("write", &key, probe).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StorageError> {
        let path = self.object(key);
        self.run("look for", key, move |_| reading::size(&path)).await
    }

    async fn open(&self, key: &Key, range: Option<ByteRange>) -> Result<Option<Content>, StorageError> {
        let path = self.object(key);
        self.run("read", key, move |folder| reading::content(&path, range, &folder.readers)).await
    }

    async fn read(&self, key: &Key, limit: u64) -> Result<Option<Document>, StorageError> {
        let path = self.object(key);
        // NOTE: one look at a file that was read a moment ago blocks nobody, and costs less than another thread.
        let kept = self.hot.get(key, || reading::identity(&path));
        if let Some(document) = kept.filter(|document| document.bytes.len() as u64 <= limit) {
            return Ok(Some(document));
        }
        let owned = key.clone();
        self.run("read", key, move |folder| folder.read_anew(&owned, &path, limit)).await
    }

    async fn put(&self, key: &Key, bytes: Bytes, condition: Condition) -> Result<Outcome, StorageError> {
        let owned = key.clone();
        self.run("write", key, move |folder| folder.write(&owned, &bytes, &condition)).await
    }

    async fn delete(&self, key: &Key, condition: Condition) -> Result<Outcome, StorageError> {
        let owned = key.clone();
        self.run("remove", key, move |folder| folder.remove(&owned, &condition)).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<bool, StorageError> {
        let (from, target) = (self.object(from), self.object(to));
        let link = move |folder: &Self| {
            if !fs::exists(&from) {
                return Ok(false);
            }
            again(|| atomic::link(&from, &target))?;
            folder.sync_parent(&target)?;
            Ok(true)
        };
        self.run("copy to", to, link).await
    }

    async fn relocate(&self, from: &Key, to: &Key) -> Result<bool, StorageError> {
        let (from, target) = (self.object(from), self.object(to));
        self.run("move to", to, move |folder| folder.rename(&from, &target)).await
    }

    async fn list(
        &self,
        prefix: &Key,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError> {
        let (path, after) = (self.object(prefix), after.map(str::to_owned));
        self.run("list", prefix, move |_| reading::children(&path, after.as_deref(), limit)).await
    }

    async fn begin_upload(&self, upload: &Key) -> Result<(), StorageError> {
        let path = self.staged(upload);
        let begin = move |folder: &Self| {
            again(|| {
                fs::create_dir_all(path.parent().unwrap_or(&folder.root))?;
                fs::open_writable(&path).map(drop)
            })
        };
        self.run("begin", upload, begin).await
    }

    async fn upload_size(&self, upload: &Key) -> Result<Option<u64>, StorageError> {
        let path = self.staged(upload);
        self.run("look for", upload, move |_| reading::size(&path)).await
    }

    async fn append(&self, upload: &Key, at: u64, bytes: Bytes) -> Result<Outcome, StorageError> {
        let owned = upload.clone();
        self.run("append to", upload, move |folder| folder.append_to(&owned, at, &bytes)).await
    }

    async fn open_upload(&self, upload: &Key) -> Result<Option<Content>, StorageError> {
        let path = self.staged(upload);
        self.run("read", upload, move |folder| reading::content(&path, None, &folder.readers)).await
    }

    async fn finish_upload(&self, upload: &Key, size: u64, key: &Key) -> Result<Outcome, StorageError> {
        let (owned, target) = (upload.clone(), key.clone());
        self.run("finish", key, move |folder| folder.finish(&owned, size, &target)).await
    }

    async fn uploads(&self, after: Option<&str>, limit: usize) -> Result<Vec<StagedUpload>, StorageError> {
        let (root, after) = (self.root.join(UPLOADS), after.map(str::to_owned));
        let Ok(key) = Key::new(UPLOADS) else { return Ok(Vec::new()) };
        self.run("list", &key, move |_| reading::staged(&root, after.as_deref(), limit)).await
    }

    async fn delete_upload(&self, upload: &Key) -> Result<bool, StorageError> {
        let path = self.staged(upload);
        let drop_it = move |folder: &Self| {
            let there = fs::exists(&path);
            fs::remove_file(&path)?;
            folder.prune(&path);
            Ok(there)
        };
        self.run("remove", upload, drop_it).await
    }
}

#[cfg(test)]
mod tests;
