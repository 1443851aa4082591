//! Linear directory blocks: records that never straddle a block, the last one reaching its end.

use super::bytes::{Block, ZERO_BLOCK, put_bytes, put_u16, put_u32};
use super::checksum::Seed;
use super::geometry::BLOCK_BYTES;
use crate::tree::Kind;

/// Bytes of the tail record that holds a block's checksum.
const TAIL_BYTES: usize = 12;
/// The file type that marks a tail.
const TAIL_TYPE: u8 = 0xde;

/// One name in a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) name: &'a [u8],
    pub(super) inode: u32,
    pub(super) kind: u8,
}

/// The `file_type` byte of a directory record.
pub(super) fn kind_byte(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => 1,
        Kind::Directory => 2,
        Kind::CharDevice { .. } => 3,
        Kind::BlockDevice { .. } => 4,
        Kind::Fifo => 5,
        Kind::Symlink(_) => 7,
    }
}

/// The blocks of a directory. `seed` is the one of its inode.
pub(super) fn encode<'a>(names: impl Iterator<Item = Name<'a>>, seed: Seed) -> Vec<Block> {
    let room = if seed.is_used() { BLOCK_BYTES - TAIL_BYTES } else { BLOCK_BYTES };
    let mut blocks = Vec::new();
    let mut block = ZERO_BLOCK;
    let (mut position, mut last) = (0, 0);
    for name in names {
        let length = (8 + name.name.len()).next_multiple_of(4);
        if position + length > room {
            finish(&mut block, last, room, seed);
            blocks.push(block);
            (block, position) = (ZERO_BLOCK, 0);
        }
        put_record(&mut block, position, length, &name);
        last = position;
        position += length;
    }
    finish(&mut block, last, room, seed);
    blocks.push(block);
    blocks
}

fn put_record(block: &mut Block, position: usize, length: usize, name: &Name<'_>) {
    put_u32(block, position, name.inode);
    put_record_length(block, position, length);
    // Names are at most 255 bytes: `TreePath` holds no longer ones.
    block[position + 6] = u8::try_from(name.name.len()).unwrap_or(u8::MAX);
    block[position + 7] = name.kind;
    put_bytes(block, position + 8, name.name);
}

fn put_record_length(block: &mut Block, position: usize, length: usize) {
    // A block is 4096 bytes, so no record is longer.
    put_u16(block, position + 4, u16::try_from(length).unwrap_or(u16::MAX));
}

/// Lets the last record reach the end, and writes the tail.
fn finish(block: &mut Block, last: usize, room: usize, seed: Seed) {
    put_record_length(block, last, room - last);
    if let Some(checksum) = seed.checksum(&[&block[..room]]) {
        put_record_length(block, room, TAIL_BYTES);
        block[room + 7] = TAIL_TYPE;
        put_u32(block, room + 8, checksum);
    }
}
