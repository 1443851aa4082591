//! A host directory becomes a tree: sorted, owned by root, links kept as links.
//!
//! Not taken: sockets (refused), times and owners (set), hard links (each name becomes a file of its own),
//! and extended attributes other than `security.capability`, because the rest belongs to the host's policy
//! (SELinux labels, for example) and would make the image differ from host to host.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use port_content::fs::{self, FsError};

use crate::content::Content;
use crate::error::ImageError;
use crate::tree::{Attributes, Entry, Kind, Tree, TreePath};

/// File capabilities: the one extended attribute that a program's behaviour depends on.
const CAPABILITY: &str = "security.capability";

/// Walks `directory`, which becomes the root.
pub(super) fn walk(directory: &Path) -> Result<Tree, ImageError> {
    let mut tree = Tree::new();
    // A list of what is still to be visited, so that depth costs no stack.
    let mut pending = vec![(directory.to_owned(), TreePath::root())];
    while let Some((host, path)) = pending.pop() {
        let metadata = if path.is_root() { fs::metadata(&host)? } else { fs::symlink_metadata(&host)? };
        let entry = entry(&host, &metadata)?;
        if path.is_root() && !entry.kind.is_directory() {
            return Err(ImageError::HostKind { path: host, found: "file, not the directory of a tree" });
        }
        if entry.kind.is_directory() {
            for child in fs::read_dir(&host)? {
                let name = child.file_name().unwrap_or_default().as_bytes();
                let inside = path.join(name)?;
                pending.push((child, inside));
            }
        }
        tree.put(path, entry)?;
    }
    Ok(tree)
}

fn entry(host: &Path, metadata: &Metadata) -> Result<Entry, ImageError> {
    let kind = kind(host, metadata)?;
    // A link's own permissions mean nothing on Linux; a fixed value keeps hosts from differing.
    let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { metadata.mode() & 0o7777 };
    let mut attributes = Attributes::new(mode);
    if let Kind::File(_) = kind
        && let Some(value) = capability(host)?
    {
        attributes = attributes.xattr(CAPABILITY, value);
    }
    Ok(Entry { attributes, kind })
}

fn kind(host: &Path, metadata: &Metadata) -> Result<Kind, ImageError> {
    let file_type = metadata.file_type();
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    if file_type.is_dir() {
        Ok(Kind::Directory)
    } else if file_type.is_file() {
        Ok(Kind::File(Content::HostFile { path: host.to_owned(), size: metadata.len() }))
    } else if file_type.is_symlink() {
        Ok(Kind::Symlink(fs::read_link(host)?.as_os_str().as_bytes().to_vec()))
    } else if file_type.is_block_device() {
        Ok(Kind::BlockDevice { major, minor })
    } else if file_type.is_char_device() {
        Ok(Kind::CharDevice { major, minor })
    } else if file_type.is_fifo() {
        Ok(Kind::Fifo)
    } else {
        Err(ImageError::HostKind { path: host.to_owned(), found: "socket" })
    }
}

/// The file capabilities, if it has any. They are 24 bytes at most, so the buffer is ample.
fn capability(host: &Path) -> Result<Option<Vec<u8>>, ImageError> {
    use rustix::io::Errno;
    let mut buffer = [0_u8; 256];
    match rustix::fs::lgetxattr(host, CAPABILITY, &mut buffer) {
        Ok(length) => Ok(buffer.get(..length).map(<[u8]>::to_vec)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(FsError::new("read file capabilities of", host, errno.into()).into()),
    }
}
