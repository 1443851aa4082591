//! What goes into a build, as the lock records it: a name, where it was found, and the digest of its bytes.

use std::path::Path;

use port_config::LockedInput;
use port_content::hashing::{Hasher, digest_of};
use port_image::{Content, Kind, Tree};

use crate::environment::{Context, DigestOf};
use crate::error::BuildError;

/// Text that is part of Port or of its configuration.
pub(crate) fn text(source: &str, resolved: &str, text: &str) -> LockedInput {
    let (digest, size) = (digest_of(text.as_bytes()), text.len() as u64);
    LockedInput { source: source.to_owned(), resolved: resolved.to_owned(), digest, size }
}

/// The directory of modules that belongs to a kernel file.
pub(crate) fn modules_directory(context: &Context<'_>, directory: &Path) -> Result<LockedInput, BuildError> {
    tree(context.digest_of, "modules", directory)
}

/// A directory whose files go into an image.
pub(crate) fn directory(context: &Context<'_>, directory: &Path) -> Result<LockedInput, BuildError> {
    directory_input(directory, context.digest_of)
}

/// The same without a build, to see whether a directory is still what it was.
///
/// # Errors
/// [`BuildError`] where it cannot be read.
pub fn directory_input(directory: &Path, digest_of: &DigestOf<'_>) -> Result<LockedInput, BuildError> {
    tree(digest_of, "directory", directory)
}

/// Hashes all that an image takes from a directory: paths, kinds, permissions, contents; no times, no owners.
fn tree(digest_of: &DigestOf<'_>, what: &str, directory: &Path) -> Result<LockedInput, BuildError> {
    let mut hasher = Hasher::default();
    let mut size = 0;
    for (path, entry) in Tree::from_directory(directory)?.iter() {
        // The root's own permissions come from whoever made the directory, and are not taken.
        let mode = if path.is_root() { 0 } else { entry.full_mode() };
        let content = match &entry.kind {
            Kind::File(Content::HostFile { path, .. }) => {
                let (digest, bytes) = digest_of(path)?;
                size += bytes;
                digest.to_string()
            }
            kind => format!("{kind:?}"),
        };
        let xattrs = &entry.attributes.xattrs;
        // A NUL ends the path, which cannot hold one, so that no two trees give the same text.
        hasher.update(path.as_bytes());
        hasher.update(format!("\0{mode:o} {xattrs:?} {content}\n").as_bytes());
    }
    let resolved = directory.display().to_string();
    Ok(LockedInput { source: format!("{what} {resolved}"), resolved, digest: hasher.finish(), size })
}
