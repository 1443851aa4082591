//! A machine's run directory: its sockets, gone with the machine.
//!
//! The name is short because a Unix socket's path has at most 107 bytes.

use std::path::{Path, PathBuf};

use port_content::{FsError, fs};
use tempfile::TempDir;
use tokio::net::UnixListener;

use crate::error::{RuntimeError, channel_error};

/// `sun_path` of Linux, less the terminating zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// A private directory that is removed when dropped.
#[derive(Debug)]
pub(crate) struct RunDirectory(TempDir);

impl RunDirectory {
    /// Makes one in `parent`, readable by this user alone.
    pub(crate) fn create(parent: &Path) -> Result<Self, RuntimeError> {
        if !parent.is_absolute() {
            return Err(RuntimeError::RelativeRunRoot { path: parent.to_owned() });
        }
        fs::create_dir_all(parent)?;
        let directory = tempfile::Builder::new()
            .prefix("port-")
            .tempdir_in(parent)
            .map_err(|source| FsError::new("create a directory in", parent, source))?;
        Ok(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a socket in it.
    pub(crate) fn socket(&self, name: &str) -> Result<PathBuf, RuntimeError> {
        let path = self.path().join(name);
        if path.as_os_str().len() > LONGEST_SOCKET_PATH {
            return Err(RuntimeError::SocketPathTooLong { path, most: LONGEST_SOCKET_PATH });
        }
        Ok(path)
    }

    /// Listens on a socket in it. Port listens and the VMM connects, so nothing waits for a socket to appear.
    pub(crate) fn listen(&self, name: &str) -> Result<(PathBuf, UnixListener), RuntimeError> {
        let path = self.socket(name)?;
        let listener = UnixListener::bind(&path).map_err(channel_error("listen on a socket for the VMM"))?;
        Ok((path, listener))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_parent_is_refused_because_the_guard_would_clean_up_elsewhere() {
        let error = RunDirectory::create(Path::new("run")).unwrap_err().to_string();
        assert!(error.contains("expected an absolute path"), "{error}");
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused_and_nothing_stays() {
        let parent = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create(&parent.path().join("a".repeat(90))).unwrap();
        let error = directory.socket("agent.sock").unwrap_err().to_string();
        assert!(error.contains("at most 107 bytes"), "{error}");
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!fs::exists(&path));
    }
}
