//! Locks between processes: `flock` on a file, released by the kernel when its holder dies.
//!
//! The file of a [`Lock`] stays behind on purpose: removing it would let two holders lock two different inodes. That of a
//! [`Claim`], of which there would be many, goes; who waited for it looks whether what it has locked is still there.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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

/// Waits for the shared lock at `path`, where the file may be one that can only be read: then it has to be there.
pub fn lock_to_read(path: &Path) -> Result<Lock, FsError> {
    match lock(path, Mode::Shared) {
        Err(error) if error.is_write_refused() => {
            // What it says is that nothing may be written there, rather than that a lock is missing.
            let (file, _) = fs::open_regular(path).map_err(|_| error)?;
            file.lock_shared().context("lock", path)?;
            Ok(Lock(file))
        }
        locked => locked,
    }
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

/// The right to gather a file that others may want, too: whoever has it is alone with the file from the first byte until it
/// has been moved to its place. Dropping it lets the next one in.
///
/// Who waited looks first whether the file is at its place by now.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _file: File,
}

/// Waits until nobody else gathers the file at `target`. A second claim waits for the first in the same process, too.
pub fn claim(target: &Path) -> Result<Claim, FsError> {
    let mut path = target.to_owned().into_os_string();
    path.push(".claim");
    let path = PathBuf::from(path);
    loop {
        let file = open(&path)?;
        file.lock().context("lock", &path)?;
        let ours = file.metadata().context("inspect", &path)?;
        let there = fs::try_metadata(&path)?;
        if there.is_some_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(Claim { path, _file: file });
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // CRASH: a kill leaves an empty file, which the next claim takes over. It is still locked here.
        let _ = fs::remove_file(&self.path);
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
    use crate::witness::{Step, Witness, seen_by};
    use std::rc::Rc;

    #[test]
    fn one_gathers_at_a_time_and_nothing_stays_behind() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("partial/blob");
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let claim = claim(&target).unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(claim);
                    }
                });
            }
        });
        assert!(fs::read_dir(target.parent().unwrap()).unwrap().is_empty());
    }

    /// Refuses the first opening, as a file system does that takes no writing.
    struct ReadOnly(std::cell::Cell<bool>);

    impl Witness for ReadOnly {
        fn sees(&self, step: &Step<'_>) -> std::io::Result<Option<usize>> {
            match step {
                Step::Open(_) if !self.0.replace(true) => Err(std::io::ErrorKind::ReadOnlyFilesystem.into()),
                _ => Ok(None),
            }
        }
    }

    #[test]
    fn where_nothing_is_written_a_lock_that_is_there_is_shared() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let read_only = || seen_by(Rc::new(ReadOnly(false.into())), || lock_to_read(&path));
        assert!(read_only().unwrap_err().is_write_refused(), "none is there");
        drop(lock(&path, Mode::Exclusive).unwrap());
        let locked = read_only().unwrap();
        assert!(try_lock(&path, Mode::Exclusive).unwrap().is_none());
        drop(locked);
        assert!(try_lock(&path, Mode::Exclusive).unwrap().is_some());
    }

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
