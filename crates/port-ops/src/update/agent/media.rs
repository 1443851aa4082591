//! An OCI image layout on a medium: a directory as it is, or a tar archive of one, unpacked beside the downloads.
//!
//! Whoever filled the medium is a stranger. Invariants: of an archive only `oci-layout`, `index.json` and blobs that are named by a
//! SHA-256 are written, as plain files below a new directory; names are those of the headers themselves, so that nothing describes
//! another path; what is unpacked is as large as the archive at most. Digests are compared when something is read.

use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use port_content::fs::{self, Context as _};
use port_content::{FsError, atomic};
use port_model::Digest;
use tar::{Archive, EntryType};
use tempfile::TempDir;

use crate::copy::CopyError;
use crate::update::UpdateError;

/// The most entries of an archive.
const MOST_ENTRIES: usize = 100_000;
/// What unpacked archives are called, before something random.
const PREFIX: &str = "media-";

/// See the module. What was unpacked goes with it.
#[derive(Debug)]
pub(super) enum Medium {
    Directory(PathBuf),
    Unpacked(TempDir),
}

impl Medium {
    /// The layout at `path`; an archive is unpacked below `scratch`.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Self, UpdateError> {
        if fs::metadata(path)?.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        fs::create_dir_all(scratch)?;
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(scratch);
        let directory = directory.context("make a directory in", scratch)?;
        unpack(path, directory.path())?;
        Ok(Self::Unpacked(directory))
    }

    pub(super) fn directory(&self) -> &Path {
        match self {
            Self::Directory(path) => path,
            Self::Unpacked(directory) => directory.path(),
        }
    }

    /// Removes what a kill left below `scratch`. Nobody else may be at work there.
    pub(super) fn sweep(scratch: &Path) -> Result<(), FsError> {
        if !fs::exists(scratch) {
            return Ok(());
        }
        for path in fs::read_dir(scratch)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(PREFIX) && fs::symlink_metadata(&path)?.is_dir() {
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(())
    }
}

fn unpack(archive: &Path, directory: &Path) -> Result<(), UpdateError> {
    let (file, metadata) = fs::open_regular(archive)?;
    let limited = BufReader::with_capacity(1 << 20, file.take(metadata.len()));
    let mut entries = Archive::new(limited);
    let refused = |reason: &str| {
        let reason = format!("{reason}: expected a tar archive of an OCI image layout");
        UpdateError::from(CopyError::NoLayout { path: archive.to_owned(), reason })
    };
    let read = |error: io::Error| UpdateError::Files(FsError::new("unpack", archive, error));
    for (number, entry) in entries.entries().map_err(read)?.raw(true).enumerate() {
        let mut entry = entry.map_err(read)?;
        if number >= MOST_ENTRIES {
            return Err(refused(&format!("it has more than {MOST_ENTRIES} entries")));
        }
        let kind = entry.header().entry_type();
        let Some(place) = place(&entry.path_bytes()).filter(|_| kind == EntryType::Regular) else { continue };
        let mut to = atomic::AtomicFile::create(&directory.join(place))?;
        io::copy(&mut entry, &mut to).map_err(read)?;
        to.commit()?;
    }
    if fs::exists(&directory.join("oci-layout")) {
        Ok(())
    } else {
        Err(refused("it has no file `oci-layout`"))
    }
}

/// Where an entry of an archive goes; nowhere, where no layout has it.
fn place(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let name = name.strip_prefix("./").unwrap_or(name);
    if matches!(name, "oci-layout" | "index.json") {
        return Some(name.to_owned());
    }
    let hex = name.strip_prefix("blobs/sha256/")?;
    let digest: Digest = format!("sha256:{hex}").parse().ok()?;
    Some(format!("blobs/sha256/{}", digest.hex()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_25_what_no_layout_has_goes_nowhere() {
        let hex = "a".repeat(64);
        for (name, expected) in [
            ("oci-layout", Some("oci-layout".to_owned())),
            ("./index.json", Some("index.json".to_owned())),
            (&format!("blobs/sha256/{hex}"), Some(format!("blobs/sha256/{hex}"))),
            ("blobs/sha256/../../etc/passwd", None),
            ("/etc/passwd", None),
            ("../oci-layout", None),
            (&format!("blobs/sha512/{hex}"), None),
            (&format!("blobs/sha256/{}", hex.to_uppercase()), None),
            ("blobs", None),
        ] {
            assert_eq!(place(name.as_bytes()), expected, "{name}");
        }
    }
}
