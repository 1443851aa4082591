//! File-system images and archives without root: a tree of files becomes ext4, squashfs, erofs, cpio.
//!
//! ```text
//!  host directory ─┐            ┌─► ext4      own writer, sparse, streaming
//!  bytes, files ───┼─► Tree ────┼─► cpio      own writer (newc, gzip)
//!  cpio archive ───┘  (sorted)  ├─► squashfs  mksquashfs, fed a tar
//!                               └─► erofs     mkfs.erofs, from a staging directory
//!                                       │
//!                        check, inspect ┴─ e2fsck, debugfs, unsquashfs, fsck.erofs: never mounted
//! ```
//!
//! Nothing here needs root, mounts anything, reads a clock or follows the order in which a host lists a
//! directory. Invariant: the same tree and options give the same bytes, on every host.

pub mod check;
mod content;
pub mod cpio;
pub mod erofs;
mod error;
pub mod ext4;
pub mod inspect;
pub mod squashfs;
mod staging;
mod tar_stream;
#[cfg(test)]
mod testing;
pub mod tool;
pub mod tree;

pub use check::{CheckReport, Verdict, check_filesystem, detect_format};
pub use content::Content;
pub use error::ImageError;
pub use inspect::ImageReader;
pub use tool::{Tool, ToolError, ToolRecord};
pub use tree::{Attributes, Collision, Entry, Kind, Tree, TreePath};
