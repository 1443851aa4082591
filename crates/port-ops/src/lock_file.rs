//! `port.lock` beside `port.toml`: read whole, changed under a lock, replaced whole.

use std::path::{Path, PathBuf};

use port_config::{Lock, LockEntry};
use port_content::{atomic, fs, limit, lock};

use crate::error::OpsError;

/// Where the lock file of this project is.
pub(crate) fn path(project_path: &Path) -> PathBuf {
    project_path.with_extension("lock")
}

/// Reads it; an absent one is empty.
pub(crate) fn read(path: &Path) -> Result<Lock, OpsError> {
    match fs::read_to_string(path, limit::CONFIGURATION) {
        Ok(text) => Ok(Lock::parse(&path.display().to_string(), &text)?),
        Err(error) if error.is_not_found() => Ok(Lock::default()),
        Err(error) => Err(error.into()),
    }
}

/// Puts one entry in. `guard` is a file that builds of the same project lock, so that none is lost.
pub(crate) fn set(path: &Path, guard: &Path, entry: LockEntry) -> Result<(), OpsError> {
    let _guard = lock::lock(guard, lock::Mode::Exclusive)?;
    let mut lock = read(path)?;
    if lock.get(&entry.artifact, entry.variant) == Some(&entry) {
        return Ok(());
    }
    lock.set(entry);
    Ok(atomic::write(path, lock.to_string().as_bytes())?)
}
