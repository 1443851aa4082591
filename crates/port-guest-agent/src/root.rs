//! The directory under which guest paths are taken, and the only way from a guest path to a file.
//!
//! Links are followed as they are inside a chroot: an absolute one begins at the root, and no `..` leaves it. The
//! kernel does that in one call (`openat2` with `RESOLVE_IN_ROOT`); where it cannot, [`walk`](crate::walk) does
//! it segment by segment. Invariant: no descriptor given out lies outside of the root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use port_guest_protocol::GuestPath;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::OperationError;
use crate::walk::walk;

/// How often a resolution that raced with a rename is tried again.
const RACES: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    path: PathBuf,
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, OperationError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(OperationError::system("open the root directory", path.display()))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Whether the root is the whole machine's.
    pub(crate) fn is_machine_root(&self) -> bool {
        self.path == Path::new("/")
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Opens an existing file or directory. It never creates: that is done beside an opened directory.
    pub(crate) fn open_at(&self, path: &GuestPath, flags: OFlags) -> Result<OwnedFd, OperationError> {
        // A terminal opened by a path must not become the agent's; `openat2` refuses the flag where nothing opens.
        let terminal = if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NOCTTY };
        let flags = flags | OFlags::CLOEXEC | terminal;
        self.resolve(path.relative(), flags).map_err(OperationError::system("open", path))
    }

    pub(crate) fn open_directory(&self, path: &GuestPath) -> Result<OwnedFd, OperationError> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn resolve(&self, relative: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let name = if relative.is_empty() { "." } else { relative };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..RACES {
            match rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Kernels before 5.6, and sandboxes that do not know the call.
                Err(Errno::NOSYS | Errno::PERM) => break,
                result => return result,
            }
        }
        walk(self.fd(), relative, flags)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    type Resolver = fn(&Root, &str) -> Result<OwnedFd, Errno>;

    fn read(root: &Root, resolver: Resolver, path: &str) -> Result<String, Errno> {
        let mut text = String::new();
        let mut file = std::fs::File::from(resolver(root, path)?);
        file.read_to_string(&mut text).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(text)
    }

    #[test]
    fn pu_45_both_resolvers_keep_every_link_inside() {
        let outer = tempfile::tempdir().unwrap();
        std::fs::write(outer.path().join("secret"), "outside").unwrap();
        let inner = outer.path().join("root");
        std::fs::create_dir_all(inner.join("a/b")).unwrap();
        std::fs::write(inner.join("secret"), "inside").unwrap();
        std::fs::write(inner.join("a/b/file"), "file").unwrap();
        for (target, link) in [
            ("../../../../secret", "a/b/up"),
            ("/secret", "a/absolute"),
            ("b/../b/file", "a/around"),
            ("/a", "whole"),
            ("loop", "loop"),
            ("../..", "a/b/parent"),
            ("nothing", "dangling"),
        ] {
            symlink(target, inner.join(link)).unwrap();
        }
        symlink(outer.path().join("secret"), inner.join("host")).unwrap();
        let root = Root::open(&inner).unwrap();
        let kernel: Resolver = |root, path| root.resolve(path, OFlags::RDONLY);
        let by_hand: Resolver = |root, path| walk(root.fd(), path, OFlags::RDONLY);
        for resolver in [kernel, by_hand] {
            for (path, expected) in [
                ("secret", Ok("inside")),
                ("a/b/file", Ok("file")),
                ("a/b/up", Ok("inside")),
                ("a/absolute", Ok("inside")),
                ("a/around", Ok("file")),
                ("whole/b/file", Ok("file")),
                ("a/b/parent/secret", Ok("inside")),
                ("host", Err(Errno::NOENT)),
                ("dangling", Err(Errno::NOENT)),
                ("loop", Err(Errno::LOOP)),
                ("secret/x", Err(Errno::NOTDIR)),
                ("a/missing/x", Err(Errno::NOENT)),
                ("a", Err(Errno::ISDIR)),
                ("", Err(Errno::ISDIR)),
            ] {
                assert_eq!(
                    read(&root, resolver, path).as_deref(),
                    expected.as_ref().map(|text| *text),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn only_the_slash_is_the_machine() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!Root::open(directory.path()).unwrap().is_machine_root());
        assert!(Root::open(Path::new("/")).unwrap().is_machine_root());
        assert!(Root::open(&directory.path().join("none")).is_err());
    }
}
