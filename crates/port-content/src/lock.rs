//! Locks between processes: `flock` on a file, released by the kernel when its holder dies.
//!
//! The lock file stays behind on purpose: removing it would let two holders lock two different inodes.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::fs::{self, Context as _, FsError};

/// Whether others may hold the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Many readers.
    Shared,
    /// One writer.
    Exclusive,
}

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

/// Waits for the lock at `path`, creating the file.
pub fn lock(path: &Path, mode: Mode) -> Result<Lock, FsError> {
    let file = open(path)?;
    match mode {
        Mode::Shared => file.lock_shared(),
        Mode::Exclusive => file.lock(),
    }
    .context("lock", path)?;
    Ok(Lock(file))
}

/// Takes the lock if nobody stands in the way, else `None`.
pub fn try_lock(path: &Path, mode: Mode) -> Result<Option<Lock>, FsError> {
    let file = open(path)?;
    let result = match mode {
        Mode::Shared => file.try_lock_shared(),
        Mode::Exclusive => file.try_lock(),
    };
    match result {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(FsError::new("lock", path, source)),
    }
}

fn open(path: &Path) -> Result<File, FsError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::open_writable(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writer_or_many_readers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let reader = lock(&path, Mode::Shared).unwrap();
        assert!(try_lock(&path, Mode::Shared).unwrap().is_some());
        assert!(try_lock(&path, Mode::Exclusive).unwrap().is_none());
        drop(reader);
        assert!(try_lock(&path, Mode::Exclusive).unwrap().is_some());
    }
}
