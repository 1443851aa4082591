//! The extent tree of a file: in the inode while four extents suffice, else in blocks below it.

use super::bytes::{Block, ZERO_BLOCK, low_u16, put_u16, put_u32};
use super::checksum::Seed;
use super::geometry::BLOCK_BYTES;

/// Entries in the inode itself.
const ROOT_ENTRIES: usize = 4;
/// Bytes of a node header and of an entry.
const ENTRY_BYTES: usize = 12;
/// Entries in one block; the last four bytes stay for the checksum.
const BLOCK_ENTRIES: usize = (BLOCK_BYTES - ENTRY_BYTES - 4) / ENTRY_BYTES;
/// The longest extent that counts as initialised.
pub(super) const EXTENT_LIMIT: u32 = 1 << 15;
const MAGIC: u16 = 0xf30a;

/// A run of a file's blocks on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) logical: u32,
    pub(super) length: u32,
    pub(super) physical: u32,
}

/// How many blocks the tree needs below the inode.
pub(super) fn tree_blocks(extents: usize) -> u32 {
    let mut total = 0;
    let mut level = extents;
    while level > ROOT_ENTRIES {
        level = level.div_ceil(BLOCK_ENTRIES);
        total += level;
    }
    u32::try_from(total).unwrap_or(u32::MAX)
}

/// An encoded tree: the 60 bytes for the inode, and the blocks with their numbers.
pub(super) struct Encoded {
    pub(super) root: [u8; 60],
    pub(super) blocks: Vec<(u32, Block)>,
}

/// Encodes the tree into the blocks `numbers`, of which there must be [`tree_blocks`].
pub(super) fn encode(extents: &[Extent], numbers: &[u32], seed: Seed) -> Encoded {
    let mut entries: Vec<[u8; ENTRY_BYTES]> = extents.iter().map(leaf).collect();
    let mut numbers = numbers.iter().copied();
    let mut blocks = Vec::new();
    let mut depth = 0;
    while entries.len() > ROOT_ENTRIES {
        let mut above = Vec::new();
        for (part, number) in entries.chunks(BLOCK_ENTRIES).zip(&mut numbers) {
            let mut block = ZERO_BLOCK;
            fill(&mut block, part, BLOCK_ENTRIES, depth);
            if let Some(checksum) = seed.checksum(&[&block[..BLOCK_BYTES - 4]]) {
                put_u32(&mut block, BLOCK_BYTES - 4, checksum);
            }
            blocks.push((number, block));
            above.extend(part.first().map(|first| index(first, number)));
        }
        entries = above;
        depth += 1;
    }
    let mut root = [0; 60];
    fill(&mut root, &entries, ROOT_ENTRIES, depth);
    Encoded { root, blocks }
}

fn fill(node: &mut [u8], entries: &[[u8; ENTRY_BYTES]], limit: usize, depth: u16) {
    put_u16(node, 0, MAGIC);
    put_u16(node, 2, low_u16(entries.len() as u64));
    put_u16(node, 4, low_u16(limit as u64));
    put_u16(node, 6, depth);
    for (slot, entry) in node[ENTRY_BYTES..].chunks_exact_mut(ENTRY_BYTES).zip(entries) {
        slot.copy_from_slice(entry);
    }
}

fn leaf(extent: &Extent) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    put_u32(&mut entry, 0, extent.logical);
    put_u16(&mut entry, 4, low_u16(extent.length.into()));
    put_u32(&mut entry, 8, extent.physical);
    entry
}

/// An index entry: the first logical block below it, and the block that holds it.
fn index(first: &[u8; ENTRY_BYTES], number: u32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..4].copy_from_slice(&first[..4]);
    put_u32(&mut entry, 4, number);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_tree_blocks() {
        for (extents, blocks) in [(0, 0), (4, 0), (5, 1), (340, 1), (341, 2), (1360, 4), (1361, 6), (1700, 6)]
        {
            assert_eq!(tree_blocks(extents), blocks, "{extents}");
        }
    }
}
