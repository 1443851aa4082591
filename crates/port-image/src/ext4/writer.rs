//! Everything that reaches the image file: content first, then the metadata that describes it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use port_content::hashing::BUFFER;

use super::bytes::{Block, ZERO_BLOCK, put_bytes};
use super::extents;
use super::geometry::{
    BLOCK, BLOCK_BYTES, BLOCKS_PER_GROUP, DESCRIPTOR_BYTES, INODE_BYTES, INODES_PER_BLOCK, Range,
    has_superblock,
};
use super::inode::{EXTENTS_FLAG, Inode, device_block};
use super::layout::{Layout, Place, position};
use super::plan::{FAST_LINK, Node, Plan};
use super::superblock::{self, Free, Usage};
use super::{Ext4Options, Ext4Stats, FORMAT, xattr};
use crate::content::{Content, Source};
use crate::error::ImageError;
use crate::tree::Kind;

/// Writes the image.
pub(super) fn write(
    plan: &Plan<'_>,
    layout: &Layout,
    options: &Ext4Options,
    image: &File,
) -> Result<Ext4Stats, ImageError> {
    let mut writer = Writer { plan, layout, options, image, written: 0 };
    // NOTE: emptied first, so that what is not written reads as zeros.
    image.set_len(0).and_then(|()| image.set_len(layout.size())).map_err(ImageError::write(FORMAT))?;
    writer.write_inodes()?;
    let free = writer.write_groups()?;
    let data_blocks: u64 = layout.places.iter().map(Place::data_blocks).sum();
    Ok(Ext4Stats {
        size: layout.size(),
        data_bytes: data_blocks * BLOCK,
        free_bytes: u64::from(free.blocks) * BLOCK,
        used_inodes: layout.geometry.inodes() - free.inodes,
        inodes: layout.geometry.inodes(),
        written_bytes: writer.written,
    })
}

struct Writer<'a> {
    plan: &'a Plan<'a>,
    layout: &'a Layout,
    options: &'a Ext4Options,
    image: &'a File,
    written: u64,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8], offset: u64) -> Result<(), ImageError> {
        self.written += bytes.len() as u64;
        self.image.write_all_at(bytes, offset).map_err(ImageError::write(FORMAT))
    }

    /// The content of every inode, and the inode tables block by block.
    fn write_inodes(&mut self) -> Result<(), ImageError> {
        let (plan, layout) = (self.plan, self.layout);
        let mut table = ZERO_BLOCK;
        let mut current = 0;
        for (node, place) in plan.nodes.iter().zip(&layout.places) {
            let bytes = self.write_inode(node, place)?;
            let index = node.inode - 1;
            if index / INODES_PER_BLOCK != current {
                self.write_table_block(current, &table)?;
                (table, current) = (ZERO_BLOCK, index / INODES_PER_BLOCK);
            }
            put_bytes(&mut table, (index % INODES_PER_BLOCK) as usize * INODE_BYTES, &bytes);
        }
        self.write_table_block(current, &table)
    }

    fn write_table_block(&mut self, number: u32, table: &Block) -> Result<(), ImageError> {
        let per_group = self.layout.geometry.inodes_per_group / INODES_PER_BLOCK;
        // Inodes are at least as many as the plan needs, so the group is there.
        let group =
            self.layout.geometry.groups.get((number / per_group) as usize).copied().unwrap_or_default();
        self.put(table, position(group.inode_table + number % per_group))
    }

    /// Writes what an inode points to; returns the inode.
    fn write_inode(&mut self, node: &Node<'_>, place: &Place) -> Result<[u8; INODE_BYTES], ImageError> {
        let seed = self.plan.seed;
        if let Some(block) = &node.xattrs.block {
            let mut block = block.clone();
            xattr::seal(&mut block, place.xattr, seed);
            self.put(&block[..], position(place.xattr))?;
        }
        let size = self.write_content(node, place)?;
        let (flags, block) = self.write_block_map(node, place)?;
        let inode = Inode {
            number: node.inode,
            full_mode: node.entry.full_mode(),
            attributes: &node.entry.attributes,
            size,
            links: self.plan.links(node),
            flags,
            block,
            blocks: place.blocks(),
            xattr_block: place.xattr,
            xattr_inline: &node.xattrs.inline,
            created: self.options.timestamp,
        };
        Ok(inode.encode(seed))
    }

    /// Returns the size that the inode states.
    fn write_content(&mut self, node: &Node<'_>, place: &Place) -> Result<u64, ImageError> {
        match &node.entry.kind {
            Kind::File(content) => self.copy(content, node, place),
            Kind::Directory => {
                let blocks = self.plan.directory_blocks(node).concat();
                self.write_solid(&blocks, place)?;
                Ok(blocks.len() as u64)
            }
            Kind::Symlink(target) => {
                self.write_solid(target, place)?;
                Ok(target.len() as u64)
            }
            Kind::BlockDevice { .. } | Kind::CharDevice { .. } | Kind::Fifo => Ok(0),
        }
    }

    /// Bytes without holes over the extents of `place`, of which a short link has none.
    fn write_solid(&mut self, bytes: &[u8], place: &Place) -> Result<(), ImageError> {
        let mut rest = bytes;
        for extent in &place.extents {
            let (part, behind) = rest.split_at(rest.len().min(extent.length as usize * BLOCK_BYTES));
            self.put(part, position(extent.physical))?;
            rest = behind;
        }
        Ok(())
    }

    fn copy(&mut self, content: &Content, node: &Node<'_>, place: &Place) -> Result<u64, ImageError> {
        let source = Source::open(content)?;
        let mut buffer = vec![0; BUFFER];
        for extent in &place.extents {
            let (mut from, mut to) = (position(extent.logical), position(extent.physical));
            let end = (from + u64::from(extent.length) * BLOCK).min(source.size());
            while from < end {
                let count = usize::try_from(end - from).unwrap_or(usize::MAX).min(BUFFER);
                let part = buffer.get_mut(..count).unwrap_or_default();
                source.read_exact_at(part, from)?;
                self.put(part, to)?;
                from += count as u64;
                to += count as u64;
            }
        }
        source.assert_unchanged(node.scanned.stamp)?;
        Ok(source.size())
    }

    /// The flags and the 60 bytes that say where the content is.
    fn write_block_map(&mut self, node: &Node<'_>, place: &Place) -> Result<(u32, [u8; 60]), ImageError> {
        if let Some((major, minor)) = node.entry.kind.device() {
            return Ok((0, device_block(major, minor)));
        }
        match &node.entry.kind {
            Kind::Symlink(target) if target.len() <= FAST_LINK => {
                let mut block = [0; 60];
                put_bytes(&mut block, 0, target);
                return Ok((0, block));
            }
            Kind::Fifo => return Ok((0, [0; 60])),
            _ => {}
        }
        let tree = extents::encode(&place.extents, &place.tree, self.plan.seed.of_inode(node.inode));
        for (number, block) in &tree.blocks {
            self.put(block, position(*number))?;
        }
        Ok((EXTENTS_FLAG, tree.root))
    }

    /// Bitmaps, descriptors and superblocks.
    fn write_groups(&mut self) -> Result<Free, ImageError> {
        let geometry = &self.layout.geometry;
        let mut descriptors = vec![0; geometry.descriptor_blocks() as usize * BLOCK_BYTES];
        let mut free = Free { blocks: 0, inodes: 0 };
        let directories = self.directories_per_group();
        for (number, (group, directories)) in (0..).zip(geometry.groups.iter().zip(directories)) {
            let (block_bitmap, free_blocks) = self.block_bitmap(number);
            let (inode_bitmap, used_inodes) = self.inode_bitmap(number);
            self.put(&block_bitmap, position(group.block_bitmap))?;
            self.put(&inode_bitmap, position(group.inode_bitmap))?;
            let seed = self.plan.seed;
            let inode_bytes = geometry.inodes_per_group as usize / 8;
            let free_inodes = geometry.inodes_per_group - used_inodes;
            let usage = Usage {
                free_blocks,
                free_inodes,
                directories,
                unused_inodes: free_inodes,
                block_bitmap_checksum: seed.checksum(&[&block_bitmap]),
                inode_bitmap_checksum: seed.checksum(&[&inode_bitmap[..inode_bytes]]),
            };
            free = Free { blocks: free.blocks + free_blocks, inodes: free.inodes + free_inodes };
            let descriptor = superblock::descriptor(number, group, &usage, seed);
            put_bytes(&mut descriptors, number as usize * DESCRIPTOR_BYTES, &descriptor);
        }
        self.write_superblocks(free, &descriptors)?;
        Ok(free)
    }

    fn write_superblocks(&mut self, free: Free, descriptors: &[u8]) -> Result<(), ImageError> {
        let geometry = &self.layout.geometry;
        for group in (0..geometry.group_count()).filter(|group| has_superblock(*group)) {
            let start = position(group * BLOCKS_PER_GROUP);
            let bytes = superblock::encode(geometry, free, self.options, group);
            // In the first group, a boot sector may stand in front.
            self.put(&bytes, if group == 0 { start + superblock::BYTES as u64 } else { start })?;
            self.put(descriptors, start + BLOCK)?;
        }
        Ok(())
    }

    fn directories_per_group(&self) -> Vec<u32> {
        let mut counts = vec![0; self.layout.geometry.groups.len()];
        for node in self.plan.nodes.iter().filter(|node| node.entry.kind.is_directory()) {
            let group = (node.inode - 1) / self.layout.geometry.inodes_per_group;
            if let Some(count) = counts.get_mut(group as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// The bitmap of a group's blocks, and how many are free.
    fn block_bitmap(&self, group: u32) -> (Block, u32) {
        let mut bitmap = ZERO_BLOCK;
        let blocks = self.layout.geometry.group_blocks(group);
        let first = self.layout.used.partition_point(|range| range.end() <= blocks.start);
        let mut used = 0;
        for range in self.layout.used.iter().skip(first).take_while(|range| range.start < blocks.end()) {
            let start = range.start.max(blocks.start);
            let end = range.end().min(blocks.end());
            set_bits(&mut bitmap, Range::new(start - blocks.start, end - start));
            used += end - start;
        }
        // Blocks that the last group does not have count as used.
        set_bits(&mut bitmap, Range::new(blocks.length, BLOCKS_PER_GROUP - blocks.length));
        (bitmap, blocks.length - used)
    }

    /// The bitmap of a group's inodes, and how many are used: from the first one on, without gaps.
    fn inode_bitmap(&self, group: u32) -> (Block, u32) {
        let per_group = self.layout.geometry.inodes_per_group;
        let used = self.plan.last_inode().saturating_sub(group * per_group).min(per_group);
        let mut bitmap = ZERO_BLOCK;
        set_bits(&mut bitmap, Range::new(0, used));
        set_bits(&mut bitmap, Range::new(per_group, BLOCKS_PER_GROUP - per_group));
        (bitmap, used)
    }
}

fn set_bits(bitmap: &mut Block, range: Range) {
    let mut bit = range.start;
    while bit < range.end() {
        if bit.is_multiple_of(8) && range.end() - bit >= 8 {
            bitmap[(bit / 8) as usize] = 0xff;
            bit += 8;
        } else {
            bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
            bit += 1;
        }
    }
}
