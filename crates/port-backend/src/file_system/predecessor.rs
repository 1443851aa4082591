//! The published files that a new one is written from: which, and whether that is cheaper than copying the new one.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use port_content::{fs, sparse};
use port_model::{FileName, Reference, Variant};
use port_packed::block_index::BlockIndex;

use super::index_file;

/// How many are opened: their indexes are read as a whole, one after the other.
const MOST: usize = 3;
/// How many versions are looked at, so that a push does not slow down with the years.
const VERSIONS: usize = 256;
/// The kernel's list of mounts, in bytes.
const MOUNTS: u64 = 4 * 1024 * 1024;

/// A directory that has a file of this name, and a block index beside it.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    directory: PathBuf,
    name: FileName,
}

impl Candidate {
    /// The published file.
    pub(super) fn open(&self) -> Option<File> {
        Some(fs::open_regular_itself(&self.directory.join(&self.name)).ok()?.0)
    }

    /// What the blocks of its file are, as it is said beside it.
    pub(super) fn index(&self, file: &File) -> Option<BlockIndex> {
        let size = file.metadata().ok()?.len();
        Some(index_file::read(&self.directory, &self.name, size)?.0)
    }
}

/// The published files of this name and variant, that of the same version first, then the newest.
pub(super) fn candidates(
    root: &Path,
    reference: &Reference,
    variant: Variant,
    name: &FileName,
) -> Vec<Candidate> {
    let (registry, repository) = (reference.registry(), reference.repository());
    let versions = fs::read_dir(&root.join(registry).join(repository)).unwrap_or_default();
    let mut found: Vec<(bool, SystemTime, Candidate)> = Vec::new();
    for path in versions.iter().rev().take(VERSIONS) {
        // A name from the directory becomes a path only as a valid version.
        let version = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Ok(other) = Reference::new(registry, repository, version) else { continue };
        let directory = root.join(other.variant_directory(variant));
        let metadata = fs::symlink_metadata(&index_file::path(&directory, name));
        let Some(modified) = metadata.ok().and_then(|metadata| metadata.modified().ok()) else { continue };
        found.push((&other == reference, modified, Candidate { directory, name: name.clone() }));
    }
    found.sort_by_key(|(same, modified, _)| std::cmp::Reverse((*same, *modified)));
    found.into_iter().map(|(_, _, candidate)| candidate).take(MOST).collect()
}

/// Whether taking blocks from the predecessor costs no more than taking them from the source.
///
/// A copy inside a network share that its server cannot make goes through this machine twice.
pub(super) fn is_cheap(predecessor: &File, source: &File, target: &File) -> bool {
    let device = |file: &File| file.metadata().map(|metadata| metadata.dev()).ok();
    let Some(place) = device(target) else { return false };
    if device(predecessor) != Some(place) {
        return false;
    }
    if device(source) == Some(place) {
        return true;
    }
    // The clone is only a question here.
    let clones = sparse::reflink(predecessor, target) && target.set_len(0).is_ok();
    let mounts = || fs::read_to_string(Path::new("/proc/self/mountinfo"), MOUNTS).unwrap_or_default();
    clones || server_copies(&mounts(), (rustix::fs::major(place), rustix::fs::minor(place)))
}

/// Whether the mount with this device is a share whose server copies files by itself: NFS from 4.2 on, SMB from 2 on.
fn server_copies(mounts: &str, (major, minor): (u32, u32)) -> bool {
    let device = format!("{major}:{minor}");
    let of_device = |line: &&str| line.split(' ').nth(2) == Some(&device);
    mounts.lines().filter(of_device).any(|line| {
        let (_, behind) = line.split_once(" - ").unwrap_or_default();
        let mut fields = behind.split(' ');
        let (kind, options) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
        let version = options.split(',').find_map(|option| option.strip_prefix("vers=")).unwrap_or_default();
        match kind {
            "nfs4" => version
                .strip_prefix("4.")
                .is_some_and(|minor| minor.parse::<u32>().is_ok_and(|minor| minor >= 2)),
            "cifs" | "smb3" => version.starts_with(['2', '3']),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_that_copy_by_themselves_are_asked_to() {
        let mount = |kind: &str, options: &str| {
            format!(
                "22 1 0:20 / /proc rw - proc proc rw\n\
                 99 1 0:45 / /srv/my\\040share rw,relatime shared:7 - {kind} server:/export {options}\n"
            )
        };
        for (kind, options, expected) in [
            ("nfs4", "rw,vers=4.2,rsize=1048576", true),
            ("nfs4", "rw,vers=4.10", true),
            ("nfs4", "rw,vers=4.1,rsize=1048576", false),
            ("nfs4", "rw", false),
            ("nfs", "rw,vers=3", false),
            ("cifs", "rw,vers=3.1.1,cache=strict", true),
            ("smb3", "rw,vers=3.0", true),
            ("cifs", "rw,vers=1.0", false),
            ("fuse.sshfs", "rw,vers=4.2", false),
            ("ext4", "rw", false),
        ] {
            assert_eq!(server_copies(&mount(kind, options), (0, 45)), expected, "{kind} {options}");
            assert!(!server_copies(&mount(kind, options), (0, 46)), "another device");
        }
        assert!(!server_copies("", (0, 45)) && !server_copies("99 1 0:45", (0, 45)));
    }
}
