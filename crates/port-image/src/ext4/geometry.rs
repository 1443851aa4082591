//! Where the groups, bitmaps and inode tables are, for an image of a given size.
//!
//! ```text
//! flex group = 16 groups of 32768 blocks
//! | superblock, descriptors | 16 × block bitmap | 16 × inode bitmap | 16 × inode table | data …
//!                 groups 1, 3ⁿ, 5ⁿ, 7ⁿ begin with a backup of superblock and descriptors
//! ```
//!
//! Bitmaps and tables of a flex group stand together, so data runs are long and data blocks of all the
//! groups lie together. Invariant: no two ranges overlap, all are within the image.

use super::{Ext4Options, InodeCount};

/// Bytes of one block.
pub(super) const BLOCK_BYTES: usize = 4096;
/// The same, for arithmetic on sizes.
pub(super) const BLOCK: u64 = 4096;
/// Blocks of one group: as many as a one-block bitmap has bits.
pub(super) const BLOCKS_PER_GROUP: u32 = 32768;
/// Bytes of one inode.
pub(super) const INODE_BYTES: usize = 256;
/// Inodes of one block.
pub(super) const INODES_PER_BLOCK: u32 = 16;
/// Bytes of one group descriptor.
pub(super) const DESCRIPTOR_BYTES: usize = 32;
/// Groups whose metadata stands together, as a power of two.
pub(super) const FLEX_LOG: u8 = 4;
/// A last group smaller than this, beyond its own metadata, is left unused, as `mke2fs` does.
const SMALLEST_LAST_GROUP: u32 = 50;

/// A run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) length: u32,
}

impl Range {
    pub(super) fn new(start: u32, length: u32) -> Self {
        Self { start, length }
    }

    pub(super) fn end(self) -> u32 {
        self.start + self.length
    }
}

/// Where one group's metadata is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Group {
    pub(super) block_bitmap: u32,
    pub(super) inode_bitmap: u32,
    pub(super) inode_table: u32,
}

#[derive(Debug)]
pub(super) struct Geometry {
    pub(super) blocks: u32,
    pub(super) inodes_per_group: u32,
    pub(super) groups: Vec<Group>,
    /// Everything that is not for data, sorted.
    pub(super) reserved: Vec<Range>,
}

impl Geometry {
    /// The geometry of an image of `size` bytes for `needed_inodes`; `None` where its own metadata does not
    /// fit.
    pub(super) fn new(size: u64, needed_inodes: u32, options: &Ext4Options) -> Option<Self> {
        let blocks = usable_blocks(u32::try_from(size / BLOCK).ok()?)?;
        let group_count = blocks.div_ceil(BLOCKS_PER_GROUP);
        let inodes_per_group = inodes_per_group(size, group_count, needed_inodes, options.inodes)?;
        let mut reserved: Vec<Range> = (0..group_count)
            .filter(|group| has_superblock(*group))
            .map(|group| Range::new(group * BLOCKS_PER_GROUP, 1 + descriptor_blocks(group_count)))
            .collect();
        let backups = reserved.clone();
        let mut groups = vec![Group::default(); group_count as usize];
        let table_blocks = inodes_per_group / INODES_PER_BLOCK;
        let flex_blocks = BLOCKS_PER_GROUP << FLEX_LOG;
        for (index, flex) in groups.chunks_mut(1 << FLEX_LOG).enumerate() {
            let start = u32::try_from(index).ok()?.checked_mul(flex_blocks)?;
            let mut placer = Placer { cursor: start, backups: &backups, blocks, placed: Vec::new() };
            for group in flex.iter_mut() {
                group.block_bitmap = placer.place(1)?;
            }
            for group in flex.iter_mut() {
                group.inode_bitmap = placer.place(1)?;
            }
            for group in flex.iter_mut() {
                group.inode_table = placer.place(table_blocks)?;
            }
            // A dense table of one flex group must not run into the metadata of the next.
            if placer.cursor > start.saturating_add(flex_blocks) {
                return None;
            }
            reserved.append(&mut placer.placed);
        }
        reserved.sort_unstable();
        Some(Self { blocks, inodes_per_group, groups, reserved: merged(&reserved) })
    }

    pub(super) fn descriptor_blocks(&self) -> u32 {
        descriptor_blocks(self.group_count())
    }

    pub(super) fn group_count(&self) -> u32 {
        self.blocks.div_ceil(BLOCKS_PER_GROUP)
    }

    /// All inodes. At most 32768 in each of at most 8192 groups.
    pub(super) fn inodes(&self) -> u32 {
        self.inodes_per_group * self.group_count()
    }

    /// The blocks of one group.
    pub(super) fn group_blocks(&self, group: u32) -> Range {
        let start = group * BLOCKS_PER_GROUP;
        Range::new(start, BLOCKS_PER_GROUP.min(self.blocks - start))
    }
}

/// Finds room for metadata, past the backups of the superblock.
struct Placer<'a> {
    cursor: u32,
    backups: &'a [Range],
    blocks: u32,
    placed: Vec<Range>,
}

impl Placer<'_> {
    fn place(&mut self, length: u32) -> Option<u32> {
        let mut start = self.cursor;
        for backup in self.backups {
            if start < backup.end() && backup.start < start.checked_add(length)? {
                start = backup.end();
            }
        }
        let range = Range::new(start, length);
        if start.checked_add(length)? > self.blocks {
            return None;
        }
        self.placed.push(range);
        self.cursor = range.end();
        Some(start)
    }
}

/// Whether a group begins with a superblock (`sparse_super`): 0, 1 and the powers of 3, 5 and 7.
pub(super) fn has_superblock(group: u32) -> bool {
    let is_power = |base: u32| {
        let mut rest = group;
        while rest > 1 && rest.is_multiple_of(base) {
            rest /= base;
        }
        rest == 1
    };
    group == 0 || [3, 5, 7].into_iter().any(is_power)
}

fn descriptor_blocks(groups: u32) -> u32 {
    groups.div_ceil((BLOCK_BYTES / DESCRIPTOR_BYTES) as u32)
}

/// The blocks that are used of `blocks`: a last group too small to be worth its metadata is dropped.
fn usable_blocks(blocks: u32) -> Option<u32> {
    let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
    let rest = blocks % BLOCKS_PER_GROUP;
    let last = groups.checked_sub(1)?;
    let own = if has_superblock(last) { 1 + descriptor_blocks(groups) } else { 0 };
    let usable =
        if rest != 0 && last > 0 && rest < own + SMALLEST_LAST_GROUP { blocks - rest } else { blocks };
    Some(usable)
}

fn inodes_per_group(size: u64, groups: u32, needed: u32, wish: InodeCount) -> Option<u32> {
    let wanted = match wish {
        InodeCount::Automatic => (size / 16384).max(u64::from(needed) + u64::from(needed / 4)),
        InodeCount::BytesPerInode(bytes) => size / u64::from(bytes.max(1)),
        InodeCount::AtLeast(count) => u64::from(count),
    };
    let per_group = wanted.max(u64::from(needed)).div_ceil(u64::from(groups));
    let per_group = u32::try_from(per_group).ok()?.checked_next_multiple_of(INODES_PER_BLOCK)?;
    // One bitmap block has no more bits.
    (per_group <= BLOCKS_PER_GROUP).then_some(per_group.max(INODES_PER_BLOCK))
}

/// Sorted ranges with neighbours joined.
pub(super) fn merged(sorted: &[Range]) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::new();
    for range in sorted.iter().filter(|range| range.length > 0) {
        match joined.last_mut() {
            Some(last) if last.end() == range.start => last.length += range.length,
            _ => joined.push(*range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::super::ImageSize;
    use super::*;

    #[test]
    fn superblocks_are_where_sparse_super_puts_them() {
        let with: Vec<u32> = (0..130).filter(|group| has_superblock(*group)).collect();
        assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn ranges_neither_overlap_nor_leave_the_image() {
        for size in (1..400_u64).map(|step| step * step * 4096 * 53) {
            let options = Ext4Options::new(ImageSize::Bytes(size), "");
            let Some(geometry) = Geometry::new(size, 20, &options) else {
                assert!(size < 1 << 20, "{size} should be enough");
                continue;
            };
            for pair in geometry.reserved.windows(2) {
                assert!(pair[0].end() < pair[1].start, "{size}: {pair:?}");
            }
            assert!(geometry.reserved.last().unwrap().end() <= geometry.blocks);
            assert!(u64::from(geometry.blocks) * BLOCK <= size);
        }
    }
}
