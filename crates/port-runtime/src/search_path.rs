//! Where programs are looked for. A value that the caller passes in: this crate reads no environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use port_content::fs;
use serde::{Deserialize, Serialize};

/// The directories of a `PATH`, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchPath(Vec<PathBuf>);

impl SearchPath {
    /// These directories. Relative ones are left out: what runs must not depend on the current directory.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(directories.into_iter().filter(|directory| directory.is_absolute()).collect())
    }

    /// The value of a `PATH` variable.
    pub fn parse(value: &OsStr) -> Self {
        let parts = value.as_bytes().split(|byte| *byte == b':');
        Self::new(parts.map(|part| PathBuf::from(OsStr::from_bytes(part))))
    }

    /// The first executable regular file called `program`.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        self.0.iter().map(|directory| directory.join(program)).find(|path| is_executable(path))
    }

    /// The value for a child's `PATH` variable.
    pub fn to_value(&self) -> OsString {
        let parts: Vec<&[u8]> = self.0.iter().map(|directory| directory.as_os_str().as_bytes()).collect();
        OsString::from_vec(parts.join(&b':'))
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executable_files_of_absolute_directories_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let tool = directory.path().join("tool");
        port_content::atomic::write(&tool, b"#!/bin/sh\n").unwrap();
        let mut value = OsString::from("relative:");
        value.push(directory.path());
        let path = SearchPath::parse(&value);
        assert_eq!(path.find("tool"), None);
        fs::set_mode(&tool, 0o755).unwrap();
        assert_eq!(path.find("tool"), Some(tool));
        assert_eq!(path.to_value(), directory.path().as_os_str());
    }
}
