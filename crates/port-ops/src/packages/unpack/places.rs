//! Where a package's files go, all of them known before the first is written.
//!
//! Invariants: no place is wanted as two things, by whichever layers; what is in the way on the disk is found here as well, and
//! no symbolic link is followed. What is remembered is bounded.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use port_content::{FsError, fs};
use port_model::Digest;

use super::entries::refused;
use crate::packages::PackageError;

/// How long the names that are remembered may be together, in bytes.
const MOST_NAMES: usize = 16 << 20;

/// What a place is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
}

/// See the module.
pub(super) struct Places<'a> {
    directory: &'a Path,
    /// With every directory above, so that one that is known needs no second look.
    kinds: BTreeMap<PathBuf, Kind>,
    names: usize,
}

impl<'a> Places<'a> {
    pub(super) fn below(directory: &'a Path) -> Self {
        Self { directory, kinds: BTreeMap::new(), names: 0 }
    }

    /// Takes a place for an entry of this layer.
    pub(super) fn take(&mut self, layer: &Digest, path: &Path, kind: Kind) -> Result<(), PackageError> {
        let refuse = |found: &str| refused(layer, path.as_os_str().as_encoded_bytes(), found.to_owned());
        for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            match self.kinds.get(parent).copied() {
                Some(Kind::Directory) => break,
                Some(Kind::File) => return Err(refuse("a path through another entry's file")),
                None => self.add(layer, parent, Kind::Directory)?,
            }
        }
        match (self.kinds.get(path).copied(), kind) {
            (None, _) => self.add(layer, path, kind),
            (Some(Kind::Directory), Kind::Directory) => Ok(()),
            (Some(Kind::Directory), Kind::File) => {
                Err(refuse("a file where another entry needs a directory"))
            }
            (Some(Kind::File), Kind::Directory) => Err(refuse("a directory where another entry has a file")),
            (Some(Kind::File), Kind::File) => Err(refuse("a second file of this name")),
        }
    }

    fn add(&mut self, layer: &Digest, path: &Path, kind: Kind) -> Result<(), PackageError> {
        let name = path.as_os_str().as_encoded_bytes();
        self.names = self.names.saturating_add(name.len());
        if self.names > MOST_NAMES {
            return Err(refused(layer, name, format!("names of more than {MOST_NAMES} bytes together")));
        }
        check_disk(&self.directory.join(path), kind)?;
        self.kinds.insert(path.to_owned(), kind);
        Ok(())
    }
}

/// A symbolic link could lead out; what is of another kind would end the writing half way.
fn check_disk(place: &Path, kind: Kind) -> Result<(), FsError> {
    let found = match fs::symlink_metadata(place) {
        Err(error) if error.is_not_found() => return Ok(()),
        found => found?,
    };
    let expected = match kind {
        Kind::Directory if found.is_dir() => return Ok(()),
        Kind::File if found.is_file() => return Ok(()),
        Kind::Directory => "a symbolic link or a file is in the way: expected a directory, or nothing",
        Kind::File => "a symbolic link or a directory is in the way: expected a plain file, or nothing",
    };
    Err(FsError::new("unpack to", place, io::Error::other(expected)))
}
