//! A directory for the files of one run, gone with the value, also while another thread still fills it.
//!
//! Invariant: once the value is dropped, nothing of it is on the disk, and nothing comes back.

use std::path::Path;

use port_content::FsError;
use tempfile::TempDir;

use crate::packages::Halt;

#[derive(Debug)]
pub(super) struct Files {
    // Dropped after the writer was told to stop.
    directory: TempDir,
    halt: Halt,
}

impl Files {
    pub(super) fn below(root: &Path) -> Result<Self, FsError> {
        let directory = tempfile::Builder::new().prefix("port-package-").tempdir_in(root);
        let directory = directory.map_err(|source| FsError::new("create a directory in", root, source))?;
        Ok(Self { directory, halt: Halt::default() })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What a writer of these files looks at before each of them.
    pub(super) fn halt(&self) -> Halt {
        self.halt.clone()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.halt.now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::below(root.path()).unwrap();
        port_content::atomic::write(&files.path().join("deep/kernel"), b"kernel").unwrap();
        drop(files);
        assert!(port_content::fs::read_dir(root.path()).unwrap().is_empty());
    }
}
