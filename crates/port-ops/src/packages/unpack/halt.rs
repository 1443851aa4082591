//! Says from another thread that files are not wanted any more.
//!
//! Invariant: once [`Halt::now`] has returned, no file is begun and none is being written, so that their directory can go.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use port_content::FsError;

use crate::packages::PackageError;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Halt(Arc<Mutex<bool>>);

impl Halt {
    /// Waits for the file that is being written, and lets no other begin.
    pub(crate) fn now(&self) {
        *self.lock() = true;
    }

    /// Does something to `place`, unless that is not wanted any more.
    pub(super) fn unless<T>(
        &self,
        place: &Path,
        write: impl FnOnce() -> Result<T, PackageError>,
    ) -> Result<T, PackageError> {
        let is_halted = self.lock();
        if *is_halted {
            let reason = io::Error::new(io::ErrorKind::Interrupted, "whoever wanted it has left");
            return Err(FsError::new("unpack to", place, reason).into());
        }
        write()
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
