//! An OCI image layout on a medium: a directory as it is, or a tar archive of one, unpacked beside the downloads.
//!
//! Whoever filled the medium is a stranger. Invariants: of an archive only `oci-layout`, `index.json` and blobs that are named by a
//! SHA-256 are written, as plain files below a new directory; names are those of the headers themselves, so that nothing describes
//! another path; what is unpacked is as large as the archive at most. Digests are compared when something is read.

use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use port_content::fs::{self, Context as _};
use port_content::lock::{self, Lock};
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
/// What the name of a lock beside the downloads ends with: held by whoever reads one, alone by whoever sweeps.
const LOCK: &str = "media.lock";

/// See the module. What was unpacked goes with it.
#[derive(Debug)]
pub(super) enum Medium {
    Directory(PathBuf),
    /// Removed first, and given up then.
    Unpacked(TempDir, #[expect(dead_code, reason = "held for its lock")] Lock),
}

impl Medium {
    /// The layout at `path`; an archive is unpacked below `scratch`.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Self, UpdateError> {
        if fs::metadata(path)?.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        fs::create_dir_all(scratch)?;
        let held = lock::lock(&scratch.with_extension(LOCK), lock::Mode::Shared)?;
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(scratch);
        let directory = directory.context("make a directory in", scratch)?;
        unpack(path, directory.path())?;
        Ok(Self::Unpacked(directory, held))
    }

    pub(super) fn directory(&self) -> &Path {
        match self {
            Self::Directory(path) => path,
            Self::Unpacked(directory, _) => directory.path(),
        }
    }

    /// Whether a file of this name below `scratch` is for [`Self::sweep`] alone to remove.
    pub(super) fn has(name: &str) -> bool {
        name.starts_with(PREFIX)
    }

    /// Removes what a kill left below `scratch`. While somebody reads one, as `check` does without the agent's lock, all stay.
    pub(super) fn sweep(scratch: &Path) -> Result<(), FsError> {
        if unpacked(scratch)?.is_empty() {
            return Ok(());
        }
        let Some(_alone) = lock::try_lock(&scratch.with_extension(LOCK), lock::Mode::Exclusive)? else {
            return Ok(());
        };
        unpacked(scratch)?.iter().try_for_each(|path| fs::remove_dir_all(path))
    }
}

/// What lies unpacked below `scratch`.
fn unpacked(scratch: &Path) -> Result<Vec<PathBuf>, FsError> {
    if !fs::exists(scratch) {
        return Ok(Vec::new());
    }
    let is_unpacked = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(PREFIX) && fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
    };
    Ok(fs::read_dir(scratch)?.into_iter().filter(is_unpacked).collect())
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
    fn what_somebody_reads_is_not_swept_and_what_a_kill_left_is() {
        let scratch = tempfile::tempdir().unwrap();
        let archive = scratch.path().join("os.tar");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        tar.append_data(&mut header, "oci-layout", &b"{}"[..]).unwrap();
        atomic::write(&archive, &tar.into_inner().unwrap()).unwrap();
        let scratch = scratch.path().join("downloads");
        let read = Medium::open(&archive, &scratch).unwrap();
        let left = scratch.join("media-left");
        fs::create_dir_all(&left).unwrap();
        Medium::sweep(&scratch).unwrap();
        assert!(fs::exists(&read.directory().join("oci-layout")) && fs::exists(&left));
        let place = read.directory().to_owned();
        drop(read);
        assert!(!fs::exists(&place));
        Medium::sweep(&scratch).unwrap();
        assert!(!fs::exists(&left));
    }

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
