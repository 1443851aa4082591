//! Path resolution under a root without the kernel's help: what `openat2` does, for kernels that lack it.
//!
//! Every segment is opened by itself and without following links; links are read and their segments put in
//! front. The directories passed are kept on a stack, so `..` is a step back on it and never a step of the file
//! system, which somebody could move meanwhile.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// As in the kernel.
const MAX_LINKS: usize = 40;

/// Opens `path` under `root` with `flags`, following links as inside a chroot.
pub(crate) fn walk(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let probe = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut pending = segments(path.as_bytes());
    let mut passed: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == b".." {
            passed.pop();
            continue;
        }
        let here = passed.last().map_or(root, AsFd::as_fd);
        let found = rustix::fs::openat(here, name.as_slice(), probe, Mode::empty())?;
        match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes();
                if target.first() == Some(&b'/') {
                    passed.clear();
                }
                pending.extend(segments(&target));
            }
            FileType::Directory => passed.push(found),
            _ if !pending.is_empty() => return Err(Errno::NOTDIR),
            _ => {
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                return rustix::fs::openat(here, name.as_slice(), flags, Mode::empty());
            }
        }
    }
    let here = passed.last().map_or(root, AsFd::as_fd);
    rustix::fs::openat(here, ".", flags | OFlags::CLOEXEC, Mode::empty())
}

/// The segments of a path, last first; empty ones and `.` left out.
fn segments(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}
