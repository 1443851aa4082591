//! Files that one process at a time works on: partial downloads and journals of uploads.
//!
//! The lock is on the file itself, so that nothing is left behind. A file that was renamed or removed while we waited
//! for its lock is another file by now, and is opened anew.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use port_content::fs::{self, Context as _, FsError};

/// Opens a file for reading and writing, creating it if absent, and waits until nobody else works on it.
pub(crate) async fn wait(path: &Path) -> Result<File, FsError> {
    let path = path.to_owned();
    let waiting = tokio::task::spawn_blocking(move || {
        loop {
            let file = open(&path)?;
            file.lock().context("lock", &path)?;
            if is_at(&file, &path)? {
                return Ok(file);
            }
        }
    });
    waiting
        .await
        .unwrap_or_else(|error| Err(FsError::new("lock", Path::new(""), std::io::Error::other(error))))
}

/// As [`wait`], but `None` where somebody else works on it.
pub(crate) fn now(path: &Path) -> Result<Option<File>, FsError> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(is_at(&file, path)?.then_some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(source)) => Err(FsError::new("lock", path, source)),
    }
}

fn open(path: &Path) -> Result<File, FsError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::open_writable_itself(path)
}

/// Whether the path still leads to this very file.
fn is_at(file: &File, path: &Path) -> Result<bool, FsError> {
    let ours = file.metadata().context("inspect", path)?;
    let there = fs::try_metadata(path)?;
    Ok(there.is_some_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_at_a_guessable_name_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("partial"), directory.path().join("victim"));
        port_content::atomic::write(&victim, b"somebody's").unwrap();
        fs::symlink(&victim, &path).unwrap();
        for _ in 0..2 {
            let file = wait(&path).await.unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"remote", 0).unwrap();
            assert_eq!(fs::read(&victim, 100).unwrap(), b"somebody's");
            fs::remove_file(&path).unwrap();
            fs::hard_link(&victim, &path).unwrap();
        }
    }

    #[tokio::test]
    async fn one_works_and_the_next_gets_a_file_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/partial");
        let held = wait(&path).await.unwrap();
        assert!(now(&path).unwrap().is_none());
        let other = tokio::spawn({
            let path = path.clone();
            async move { wait(&path).await.unwrap().metadata().unwrap().ino() }
        });
        let inode = held.metadata().unwrap().ino();
        fs::hard_link(&path, &directory.path().join("kept")).unwrap();
        fs::remove_file(&path).unwrap();
        drop(held);
        assert_ne!(other.await.unwrap(), inode);
    }
}
