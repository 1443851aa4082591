//! Which block belongs to what: one pass in the order of a walk, without any I/O.
//!
//! ```text
//! | metadata | all directories | all attribute blocks | file, its extent blocks | next file | … free |
//! ```
//!
//! Directories and attribute blocks stand in front, because their number changes seldom: a file that grows
//! moves the files behind it and nothing else.

use super::Ext4Options;
use super::extents::{self, EXTENT_LIMIT, Extent};
use super::geometry::{BLOCK, Geometry, Range, merged};
use super::plan::{Node, Plan};

/// The blocks of one inode.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) extents: Vec<Extent>,
    /// Blocks of the extent tree.
    pub(super) tree: Vec<u32>,
    /// The attribute block; 0 for none.
    pub(super) xattr: u32,
}

/// A geometry and the blocks of every inode, in the order of the plan's nodes.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) geometry: Geometry,
    pub(super) places: Vec<Place>,
    /// All blocks in use, metadata included, sorted.
    pub(super) used: Vec<Range>,
    size: u64,
}

impl Layout {
    /// Lays the plan out in `size` bytes so that `free_blocks` stay free; `None` where it does not fit.
    pub(super) fn new(plan: &Plan<'_>, options: &Ext4Options, size: u64, free_blocks: u64) -> Option<Self> {
        let geometry = Geometry::new(size, plan.last_inode(), options)?;
        let mut allocator = Allocator::new(&geometry);
        if u64::from(allocator.free) < plan.content_blocks() + free_blocks {
            return None;
        }
        let mut places = vec![Place::default(); plan.nodes.len()];
        let mut nodes: Vec<(&Node<'_>, &mut Place)> = plan.nodes.iter().zip(&mut places).collect();
        for (node, place) in &mut nodes {
            if node.entry.kind.is_directory() {
                allocator.place_data(node, place)?;
            }
        }
        for (node, place) in &mut nodes {
            if node.xattrs.block.is_some() {
                place.xattr = allocator.take(1)?.start;
            }
        }
        for (node, place) in &mut nodes {
            if !node.entry.kind.is_directory() {
                allocator.place_data(node, place)?;
            }
        }
        if u64::from(allocator.free) < free_blocks {
            return None;
        }
        let mut used = [allocator.taken, geometry.reserved.clone()].concat();
        used.sort_unstable();
        Some(Self { used: merged(&used), geometry, places, size })
    }

    /// Bytes of the image.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

impl Place {
    /// Blocks that belong to the inode.
    pub(super) fn blocks(&self) -> u64 {
        self.data_blocks() + self.tree.len() as u64 + u64::from(self.xattr != 0)
    }

    /// Blocks with content.
    pub(super) fn data_blocks(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.length)).sum()
    }
}

/// Hands out blocks in rising order, past the reserved ones.
struct Allocator {
    /// What is free, the next range last.
    ranges: Vec<Range>,
    taken: Vec<Range>,
    free: u32,
}

impl Allocator {
    fn new(geometry: &Geometry) -> Self {
        let mut ranges = Vec::new();
        let mut start = 0;
        for reserved in &geometry.reserved {
            ranges.push(Range::new(start, reserved.start - start));
            start = reserved.end();
        }
        ranges.push(Range::new(start, geometry.blocks - start));
        ranges.retain(|range| range.length > 0);
        ranges.reverse();
        let free = ranges.iter().map(|range| range.length).sum();
        Self { ranges, taken: Vec::new(), free }
    }

    /// The next blocks: at most `limit`, at least one; `None` where nothing is left.
    fn take(&mut self, limit: u32) -> Option<Range> {
        let range = self.ranges.last_mut()?;
        let taken = Range::new(range.start, range.length.min(limit));
        *range = Range::new(taken.end(), range.length - taken.length);
        if range.length == 0 {
            self.ranges.pop();
        }
        self.free -= taken.length;
        match self.taken.last_mut() {
            Some(last) if last.end() == taken.start => last.length += taken.length,
            _ => self.taken.push(taken),
        }
        Some(taken)
    }

    fn place_data(&mut self, node: &Node<'_>, place: &mut Place) -> Option<()> {
        for run in &node.scanned.runs {
            let mut done = 0;
            while done < run.length {
                let range = self.take((run.length - done).min(EXTENT_LIMIT))?;
                let logical = run.logical + done;
                place.extents.push(Extent { logical, length: range.length, physical: range.start });
                done += range.length;
            }
        }
        for _ in 0..extents::tree_blocks(place.extents.len()) {
            place.tree.push(self.take(1)?.start);
        }
        Some(())
    }
}

/// Byte position of a block.
pub(super) fn position(block: u32) -> u64 {
    u64::from(block) * BLOCK
}
