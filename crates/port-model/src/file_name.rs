//! The base name of a component's file, such as `vmlinux`; safe to join to any directory.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::path_part;

/// Longest file name that common file systems take, less room for side-car suffixes.
const LONGEST: usize = 200;

/// A plain base name: letters, digits, `.`, `_`, `-`, not starting with a dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

/// A text that is not a plain base name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a usable file name: it {reason}")]
pub struct FileNameError {
    name: String,
    reason: String,
}

impl FileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The base name of `path`.
    pub fn of_path(path: &Path) -> Result<Self, FileNameError> {
        path.file_name().unwrap_or_default().to_string_lossy().parse()
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(name: &str) -> Result<Self, FileNameError> {
        match path_part::check(name, LONGEST) {
            Ok(()) => Ok(Self(name.to_owned())),
            Err(reason) => Err(FileNameError { name: name.to_owned(), reason }),
        }
    }
}

impl TryFrom<String> for FileName {
    type Error = FileNameError;

    fn try_from(name: String) -> Result<Self, FileNameError> {
        name.parse()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl AsRef<Path> for FileName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_leave_a_directory() {
        for name in ["", ".", "..", "a/b", "/etc/passwd", ".hidden", "a\0b", "a b", "a\\b"] {
            assert!(name.parse::<FileName>().is_err(), "{name:?} was taken");
        }
        assert_eq!(FileName::of_path(Path::new("a/b/vmlinux")).unwrap().as_str(), "vmlinux");
        assert!(FileName::of_path(Path::new("a/..")).is_err());
    }
}
