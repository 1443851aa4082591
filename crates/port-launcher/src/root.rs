//! Another root for this process and what it starts: the one before cannot be reached from it any more, which `chroot` would not give.

use std::io;
use std::path::Path;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chdir, pivot_root};

/// Makes a mount point the root. Both lie on one another for a moment, so that none needs a place in the other (pivot_root(2)).
pub(crate) fn enter(directory: &Path) -> io::Result<()> {
    chdir(directory)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}
