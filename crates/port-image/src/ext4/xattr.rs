//! Extended attributes: in the inode as far as they fit, the rest in one block.
//!
//! Not representable: POSIX access lists (`system.*`), which ext4 keeps in a form of its own, and values
//! that need more than one block.

use super::bytes::{Block, ZERO_BLOCK, low_u16, low_u32, put_bytes, put_u16, put_u32};
use super::checksum::Seed;
use super::geometry::BLOCK_BYTES;
use super::inode::EXTRA_BYTES;
use super::{FORMAT, geometry::INODE_BYTES};
use crate::error::ImageError;
use crate::tree::{Attributes, TreePath};

const MAGIC: u32 = 0xea02_0000;
/// Bytes of a block's header.
const HEADER_BYTES: usize = 32;
/// Bytes in the inode behind its fields.
pub(super) const INLINE_BYTES: usize = INODE_BYTES - 128 - EXTRA_BYTES;
/// Those of them behind the magic number.
const INLINE_ROOM: usize = INLINE_BYTES - 4;
/// What ends the list of entries.
const TERMINATOR: usize = 4;

/// The attributes of one inode, encoded.
#[derive(Debug)]
pub(super) struct Xattrs {
    /// For the end of the inode; empty where it holds none.
    pub(super) inline: Vec<u8>,
    /// The block, without its checksum, which depends on where it will be.
    pub(super) block: Option<Box<Block>>,
}

/// One attribute with its name split as ext4 does.
struct Attribute<'a> {
    space: u8,
    name: &'a [u8],
    value: &'a [u8],
}

impl Attribute<'_> {
    fn bytes(&self) -> usize {
        self.entry_bytes() + self.value.len().next_multiple_of(4)
    }

    fn entry_bytes(&self) -> usize {
        (16 + self.name.len()).next_multiple_of(4)
    }

    /// The hash by which the kernel finds equal attribute blocks.
    fn hash(&self) -> u32 {
        let name = self.name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
        self.value.chunks(4).fold(name, |hash, chunk| {
            let mut word = [0; 4];
            put_bytes(&mut word, 0, chunk);
            hash.rotate_left(16) ^ u32::from_le_bytes(word)
        })
    }
}

/// Splits and encodes the attributes.
pub(super) fn encode(path: &TreePath, attributes: &Attributes) -> Result<Xattrs, ImageError> {
    let mut all = Vec::new();
    for (name, value) in &attributes.xattrs {
        all.push(split(name, value).ok_or_else(|| refuse(path, name, "no such name space"))?);
    }
    // The order in which the kernel searches a block.
    all.sort_by(|a, b| (a.space, a.name.len(), a.name).cmp(&(b.space, b.name.len(), b.name)));
    let mut room = INLINE_ROOM - TERMINATOR;
    let (inside, outside): (Vec<_>, Vec<_>) = all.into_iter().partition(|attribute| {
        let fits = attribute.bytes() <= room;
        room -= if fits { attribute.bytes() } else { 0 };
        fits
    });
    let needed = HEADER_BYTES + TERMINATOR + outside.iter().map(Attribute::bytes).sum::<usize>();
    if needed > BLOCK_BYTES {
        let reason =
            format!("its extended attributes need {needed} bytes, one block of 4096 is all there is");
        return Err(ImageError::NotRepresentable { format: FORMAT, path: path.clone(), reason });
    }
    let inline = if inside.is_empty() { Vec::new() } else { encode_inline(&inside) };
    Ok(Xattrs { inline, block: (!outside.is_empty()).then(|| Box::new(encode_block(&outside))) })
}

fn refuse(path: &TreePath, name: &str, reason: &str) -> ImageError {
    let reason = format!("extended attribute `{name}`: {reason}");
    ImageError::NotRepresentable { format: FORMAT, path: path.clone(), reason }
}

fn split<'a>(name: &'a str, value: &'a [u8]) -> Option<Attribute<'a>> {
    let spaces = [(1, "user."), (4, "trusted."), (6, "security.")];
    spaces.into_iter().find_map(|(space, prefix)| {
        let name = name.strip_prefix(prefix)?.as_bytes();
        Some(Attribute { space, name, value })
    })
}

fn encode_inline(attributes: &[Attribute<'_>]) -> Vec<u8> {
    let mut area = vec![0; INLINE_BYTES];
    put_u32(&mut area, 0, MAGIC);
    // Value offsets count from behind the magic number.
    put_entries(&mut area[4..], 0, attributes);
    area
}

fn encode_block(attributes: &[Attribute<'_>]) -> Block {
    let mut block = ZERO_BLOCK;
    put_entries(&mut block, HEADER_BYTES, attributes);
    put_u32(&mut block, 0, MAGIC);
    put_u32(&mut block, 4, 1); // references
    put_u32(&mut block, 8, 1); // blocks
    let hash = attributes.iter().fold(0_u32, |hash, attribute| hash.rotate_left(16) ^ attribute.hash());
    put_u32(&mut block, 12, hash);
    block
}

/// Entries grow from `start` upwards, values from the end downwards.
fn put_entries(area: &mut [u8], start: usize, attributes: &[Attribute<'_>]) {
    let (mut position, mut end) = (start, area.len());
    for attribute in attributes {
        end -= attribute.value.len().next_multiple_of(4);
        put_bytes(area, end, attribute.value);
        // At most 255 bytes: `Entry::validate` holds no longer names.
        area[position] = u8::try_from(attribute.name.len()).unwrap_or(u8::MAX);
        area[position + 1] = attribute.space;
        let offset = if attribute.value.is_empty() { 0 } else { end };
        put_u16(area, position + 2, low_u16(offset as u64));
        put_u32(area, position + 8, low_u32(attribute.value.len() as u64));
        put_u32(area, position + 12, attribute.hash());
        put_bytes(area, position + 16, attribute.name);
        position += attribute.entry_bytes();
    }
}

/// Writes the block's checksum, which covers its number.
pub(super) fn seal(block: &mut Block, number: u32, seed: Seed) {
    if let Some(checksum) = seed.checksum(&[&u64::from(number).to_le_bytes(), &block[..]]) {
        put_u32(block, 16, checksum);
    }
}
