//! A deterministic ext4 writer: a [`Tree`] becomes an image without root, without mounting, streaming.
//!
//! ```text
//! tree ─► plan     inode numbers, links, directory sizes; scan: which 4 KiB blocks are not zero
//!      ─► layout   geometry (groups, bitmaps, tables) and one block range after the other
//!      ─► write    file data, directories, extent blocks, attribute blocks, inode tables,
//!                  bitmaps, descriptors, superblocks; everything else stays a hole
//! ```
//!
//! Block and inode numbers follow the order of a walk over the tree, so a new version of a file moves what
//! comes behind it but changes no content: see docs/formats/ext4-image.md. Deliberately absent: a journal,
//! hashed directories, 64-bit block numbers, reserved space for growing.
//!
//! Invariant: same tree and options, same bytes; `e2fsck -fn` has nothing to say about any image.

mod bytes;
mod checksum;
mod directory;
mod extents;
mod geometry;
mod inode;
mod layout;
mod plan;
mod scan;
mod superblock;
mod writer;
mod xattr;

use std::fs::File;

use port_content::hashing::digest_of;

use crate::error::ImageError;
use crate::tree::Tree;

use geometry::BLOCK;

/// The word for this format in messages.
const FORMAT: &str = "ext4";
/// The largest image, in bytes: 1 TiB keeps every count within the 32-bit fields that are written.
const SIZE_LIMIT: u64 = 1 << 40;
/// Automatic sizes are multiples of this, so that small changes keep the geometry.
const SIZE_STEP: u64 = 1 << 20;

/// How large the image becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSize {
    /// Exactly this many bytes, a multiple of 4096.
    Bytes(u64),
    /// As small as the tree allows, with this much free space left, in percent of what the tree uses;
    /// rounded up to whole MiB.
    Minimal {
        /// Percent of the used space.
        free_percent: u32,
    },
}

/// How many inodes the image has; at least as many as the tree needs, at most one for every 4 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InodeCount {
    /// One for every 16 KiB of the image, and at least a quarter more than the tree needs.
    Automatic,
    /// One for so many bytes of the image.
    BytesPerInode(u32),
    /// At least so many.
    AtLeast(u32),
}

/// Whether metadata carries checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// No checksums, which every reader of ext4 understands.
    None,
    /// CRC-32C in all metadata (`metadata_csum`).
    Crc32c,
}

/// Everything about the image that does not come from the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext4Options {
    /// Its size.
    pub size: ImageSize,
    /// The volume label, at most 16 bytes.
    pub label: String,
    /// The file system's UUID.
    pub uuid: [u8; 16],
    /// The seed of directory hashes, should a kernel ever make hashed directories.
    pub hash_seed: [u8; 16],
    /// How many inodes.
    pub inodes: InodeCount,
    /// Creation and last-write time of the file system, in seconds since 1970.
    pub timestamp: u32,
    /// Whether metadata carries checksums.
    pub checksums: Checksums,
}

impl Ext4Options {
    /// Time 0, no checksums, automatic inode count; UUID and hash seed are derived from the label, so that
    /// nothing random enters the image.
    pub fn new(size: ImageSize, label: &str) -> Self {
        Self {
            size,
            label: label.to_owned(),
            uuid: derived_uuid("ext4 uuid", label),
            hash_seed: derived_uuid("ext4 hash seed", label),
            inodes: InodeCount::Automatic,
            timestamp: 0,
            checksums: Checksums::None,
        }
    }
}

/// A UUID (version 8, "custom") that depends on `name` alone.
pub fn derived_uuid(purpose: &str, name: &str) -> [u8; 16] {
    let digest = digest_of(format!("port {purpose} {name}").as_bytes());
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digest.hex().as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
    }
    uuid[6] = (uuid[6] & 0x0f) | 0x80;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    uuid
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ext4Stats {
    /// Size of the image file, in bytes.
    pub size: u64,
    /// Bytes of file content and directories in allocated blocks.
    pub data_bytes: u64,
    /// Bytes that are still free for files.
    pub free_bytes: u64,
    /// Inodes in use, the reserved ones included.
    pub used_inodes: u32,
    /// All inodes.
    pub inodes: u32,
    /// Bytes written to the image file; the rest are holes.
    pub written_bytes: u64,
}

/// Writes `tree` as an ext4 image into `image`, which is emptied first and may be of any former size.
///
/// Files of the tree are read twice: once to find zero blocks, which become holes, once to copy the rest. A
/// file that changes in between is an error.
pub fn write(tree: &Tree, options: &Ext4Options, image: &File) -> Result<Ext4Stats, ImageError> {
    validate(options)?;
    let lost_and_found = plan::lost_and_found(options)?;
    let plan = plan::Plan::new(tree, &lost_and_found, options)?;
    let layout = match options.size {
        ImageSize::Bytes(size) => fixed(&plan, options, size)?,
        ImageSize::Minimal { free_percent } => minimal(&plan, options, free_percent)?,
    };
    writer::write(&plan, &layout, options, image)
}

/// The size in bytes that `write` would give an image of [`ImageSize::Minimal`], without writing it.
pub fn minimal_size(tree: &Tree, options: &Ext4Options, free_percent: u32) -> Result<u64, ImageError> {
    validate(options)?;
    let lost_and_found = plan::lost_and_found(options)?;
    let plan = plan::Plan::new(tree, &lost_and_found, options)?;
    Ok(minimal(&plan, options, free_percent)?.size())
}

fn validate(options: &Ext4Options) -> Result<(), ImageError> {
    let refuse = |option, expected: &str, found: String| {
        Err(ImageError::Option { format: FORMAT, option, expected: expected.to_owned(), found })
    };
    if options.label.len() > 16 || options.label.contains('\0') {
        return refuse("label", "at most 16 bytes", format!("`{}`", options.label));
    }
    match (options.size, options.inodes) {
        (ImageSize::Bytes(size), _) if size % BLOCK != 0 || size == 0 || size > SIZE_LIMIT => {
            refuse("size", "a multiple of 4096 of at most 1 TiB", size.to_string())
        }
        (ImageSize::Minimal { free_percent }, _) if free_percent > 10_000 => {
            refuse("free space", "at most 10000 percent", free_percent.to_string())
        }
        (_, InodeCount::BytesPerInode(bytes)) if u64::from(bytes) < BLOCK => {
            refuse("bytes per inode", "at least 4096", bytes.to_string())
        }
        _ => Ok(()),
    }
}

fn fixed(plan: &plan::Plan<'_>, options: &Ext4Options, size: u64) -> Result<layout::Layout, ImageError> {
    match layout::Layout::new(plan, options, size, 0) {
        Some(layout) => Ok(layout),
        None => Err(ImageError::DoesNotFit { needed: minimal(plan, options, 0)?.size(), available: size }),
    }
}

/// Tries sizes upwards from a lower bound. Each try costs no I/O.
fn minimal(plan: &plan::Plan<'_>, options: &Ext4Options, percent: u32) -> Result<layout::Layout, ImageError> {
    let free_blocks = plan.content_blocks() * u64::from(percent) / 100;
    let mut size = ((plan.content_blocks() + free_blocks) * BLOCK).next_multiple_of(SIZE_STEP).max(SIZE_STEP);
    while size <= SIZE_LIMIT {
        if let Some(layout) = layout::Layout::new(plan, options, size, free_blocks) {
            return Ok(layout);
        }
        // Metadata is a few percent of a large image: larger steps there keep the tries few.
        size += (size / 256).next_multiple_of(SIZE_STEP).max(SIZE_STEP);
    }
    Err(ImageError::DoesNotFit { needed: size, available: SIZE_LIMIT })
}

#[cfg(test)]
mod tests;
