//! The superblock and the group descriptors.

use super::bytes::{low_u16, low_u32, put_bytes, put_u16, put_u32};
use super::checksum::{Seed, crc32c};
use super::geometry::{BLOCKS_PER_GROUP, DESCRIPTOR_BYTES, FLEX_LOG, Geometry, Group, INODE_BYTES};
use super::inode::EXTRA_BYTES;
use super::{Checksums, Ext4Options};

/// Bytes of a superblock.
pub(super) const BYTES: usize = 1024;
/// The first inode that is not reserved: lost+found.
pub(super) const FIRST_INODE: u32 = 11;

/// Extended attributes.
const COMPATIBLE: u32 = 0x8;
/// File types in directories, extents, flexible groups.
const INCOMPATIBLE: u32 = 0x2 | 0x40 | 0x200;
/// Sparse superblocks, large files, directories with many links, larger inodes.
const READ_ONLY_COMPATIBLE: u32 = 0x1 | 0x2 | 0x20 | 0x40;
const METADATA_CHECKSUMS: u32 = 0x400;

/// What is free in the whole image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Free {
    pub(super) blocks: u32,
    pub(super) inodes: u32,
}

/// Encodes the superblock as it stands in `group`.
pub(super) fn encode(geometry: &Geometry, free: Free, options: &Ext4Options, group: u32) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    put_counts(&mut bytes, geometry, free);
    put_u32(&mut bytes, 0x30, options.timestamp); // last write
    put_u16(&mut bytes, 0x36, u16::MAX); // mounts before a check: never
    put_u16(&mut bytes, 0x38, 0xef53); // magic
    put_u16(&mut bytes, 0x3a, 1); // cleanly unmounted
    put_u16(&mut bytes, 0x3c, 1); // on errors: continue
    put_u32(&mut bytes, 0x40, options.timestamp); // last check
    put_u32(&mut bytes, 0x4c, 1); // dynamic inode sizes
    put_u32(&mut bytes, 0x54, FIRST_INODE);
    put_u16(&mut bytes, 0x58, low_u16(INODE_BYTES as u64));
    put_u16(&mut bytes, 0x5a, low_u16(group.into()));
    put_u32(&mut bytes, 0x5c, COMPATIBLE);
    put_u32(&mut bytes, 0x60, INCOMPATIBLE);
    put_u32(&mut bytes, 0x64, READ_ONLY_COMPATIBLE);
    put_bytes(&mut bytes, 0x68, &options.uuid);
    put_bytes(&mut bytes, 0x78, options.label.as_bytes());
    put_bytes(&mut bytes, 0xec, &options.hash_seed);
    bytes[0xfc] = 1; // half MD4
    put_u32(&mut bytes, 0x100, 0xc); // default mount options: user_xattr, acl
    put_u32(&mut bytes, 0x108, options.timestamp); // created
    put_u16(&mut bytes, 0x15c, low_u16(EXTRA_BYTES as u64));
    put_u16(&mut bytes, 0x15e, low_u16(EXTRA_BYTES as u64));
    put_u32(&mut bytes, 0x160, 1); // directory hashes: signed, the same on every architecture
    bytes[0x174] = FLEX_LOG;
    if options.checksums == Checksums::Crc32c {
        put_u32(&mut bytes, 0x64, READ_ONLY_COMPATIBLE | METADATA_CHECKSUMS);
        bytes[0x175] = 1; // CRC-32C
        let checksum = crc32c(!0, &bytes[..BYTES - 4]);
        put_u32(&mut bytes, BYTES - 4, checksum);
    }
    bytes
}

fn put_counts(bytes: &mut [u8; BYTES], geometry: &Geometry, free: Free) {
    put_u32(bytes, 0x00, geometry.inodes());
    put_u32(bytes, 0x04, geometry.blocks);
    put_u32(bytes, 0x0c, free.blocks);
    put_u32(bytes, 0x10, free.inodes);
    put_u32(bytes, 0x18, 2); // block size: 1024 << 2
    put_u32(bytes, 0x1c, 2); // cluster size
    put_u32(bytes, 0x20, BLOCKS_PER_GROUP);
    put_u32(bytes, 0x24, BLOCKS_PER_GROUP); // clusters
    put_u32(bytes, 0x28, geometry.inodes_per_group);
}

/// What a group descriptor says, besides where the metadata is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) free_blocks: u32,
    pub(super) free_inodes: u32,
    pub(super) directories: u32,
    /// Inodes at the end of the table that were never used.
    pub(super) unused_inodes: u32,
    pub(super) block_bitmap_checksum: Option<u32>,
    pub(super) inode_bitmap_checksum: Option<u32>,
}

/// Encodes the descriptor of group `number`.
pub(super) fn descriptor(number: u32, group: &Group, usage: &Usage, seed: Seed) -> [u8; DESCRIPTOR_BYTES] {
    let mut bytes = [0; DESCRIPTOR_BYTES];
    put_u32(&mut bytes, 0x00, group.block_bitmap);
    put_u32(&mut bytes, 0x04, group.inode_bitmap);
    put_u32(&mut bytes, 0x08, group.inode_table);
    put_u16(&mut bytes, 0x0c, low_u16(usage.free_blocks.into()));
    put_u16(&mut bytes, 0x0e, low_u16(usage.free_inodes.into()));
    put_u16(&mut bytes, 0x10, low_u16(usage.directories.into()));
    if seed.is_used() {
        // The table is all zeros where it is unused: the kernel need not clear it in the background.
        put_u16(&mut bytes, 0x12, 0x4);
        put_u16(&mut bytes, 0x18, low_u16(usage.block_bitmap_checksum.unwrap_or_default().into()));
        put_u16(&mut bytes, 0x1a, low_u16(usage.inode_bitmap_checksum.unwrap_or_default().into()));
        put_u16(&mut bytes, 0x1c, low_u16(usage.unused_inodes.into()));
    }
    if let Some(checksum) = seed.checksum(&[&number.to_le_bytes(), &bytes]) {
        put_u16(&mut bytes, 0x1e, low_u16(u64::from(low_u32(checksum.into()))));
    }
    bytes
}
