//! The 256 bytes of one inode.

use super::bytes::{low_u16, low_u32, put_bytes, put_u16, put_u32};
use super::checksum::Seed;
use super::geometry::INODE_BYTES;
use crate::tree::Attributes;

/// How many bytes of fields follow the classic 128.
pub(super) const EXTRA_BYTES: usize = 32;
/// The inode's blocks are an extent tree.
pub(super) const EXTENTS_FLAG: u32 = 0x8_0000;
/// The last second that the 34 bits of an inode time reach.
pub(super) const TIME_LIMIT: i64 = (1 << 34) - (1 << 31) - 1;

/// What an inode says, besides its attributes.
#[derive(Debug)]
pub(super) struct Inode<'a> {
    pub(super) number: u32,
    /// Type and permissions.
    pub(super) full_mode: u32,
    pub(super) attributes: &'a Attributes,
    pub(super) size: u64,
    pub(super) links: u16,
    pub(super) flags: u32,
    /// The extent tree's root, a short link's target, or a device number.
    pub(super) block: [u8; 60],
    /// All blocks that belong to it, those of its tree and attributes included.
    pub(super) blocks: u64,
    pub(super) xattr_block: u32,
    pub(super) xattr_inline: &'a [u8],
    pub(super) created: u32,
}

impl Inode<'_> {
    pub(super) fn encode(&self, seed: Seed) -> [u8; INODE_BYTES] {
        let mut bytes = [0; INODE_BYTES];
        let attributes = self.attributes;
        put_u16(&mut bytes, 0x00, low_u16(self.full_mode.into()));
        put_u16(&mut bytes, 0x02, low_u16(attributes.uid.into()));
        put_u32(&mut bytes, 0x04, low_u32(self.size));
        put_u16(&mut bytes, 0x18, low_u16(attributes.gid.into()));
        put_u16(&mut bytes, 0x1a, self.links);
        // The unit is 512 bytes.
        let sectors = self.blocks * 8;
        put_u32(&mut bytes, 0x1c, low_u32(sectors));
        put_u32(&mut bytes, 0x20, self.flags);
        put_bytes(&mut bytes, 0x28, &self.block);
        put_u32(&mut bytes, 0x68, self.xattr_block);
        put_u32(&mut bytes, 0x6c, low_u32(self.size >> 32));
        put_u16(&mut bytes, 0x74, low_u16(sectors >> 32));
        put_u16(&mut bytes, 0x78, low_u16((attributes.uid >> 16).into()));
        put_u16(&mut bytes, 0x7a, low_u16((attributes.gid >> 16).into()));
        put_u16(&mut bytes, 0x80, low_u16(EXTRA_BYTES as u64));
        // Access, change and modification time, each with the offset of its upper bits.
        for (low, high) in [(0x08, 0x8c), (0x0c, 0x84), (0x10, 0x88)] {
            let (seconds, epoch) = split_time(attributes.mtime);
            put_u32(&mut bytes, low, seconds);
            put_u32(&mut bytes, high, epoch);
        }
        let (seconds, epoch) = split_time(self.created.into());
        put_u32(&mut bytes, 0x90, seconds);
        put_u32(&mut bytes, 0x94, epoch);
        put_bytes(&mut bytes, 128 + EXTRA_BYTES, self.xattr_inline);
        self.seal(&mut bytes, seed);
        bytes
    }

    fn seal(&self, bytes: &mut [u8; INODE_BYTES], seed: Seed) {
        if let Some(checksum) = seed.of_inode(self.number).checksum(&[bytes.as_slice()]) {
            put_u16(bytes, 0x7c, low_u16(checksum.into()));
            put_u16(bytes, 0x82, low_u16((checksum >> 16).into()));
        }
    }
}

/// Seconds as ext4 keeps them: 32 signed bits, and how often 2^32 is to be added.
fn split_time(time: i64) -> (u32, u32) {
    let low = low_u32(time.cast_unsigned());
    let epoch = (time - i64::from(low.cast_signed())) >> 32;
    (low, low_u32(epoch.cast_unsigned()) & 3)
}

/// A device number, in the old form where it fits, else in the new one.
pub(super) fn device_block(major: u32, minor: u32) -> [u8; 60] {
    let mut block = [0; 60];
    if major < 256 && minor < 256 {
        put_u32(&mut block, 0, major << 8 | minor);
    } else {
        put_u32(&mut block, 4, (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12));
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_and_after_2038() {
        let table =
            [(0, (0, 0)), (-1, (u32::MAX, 0)), ((1 << 31) - 1, (0x7fff_ffff, 0)), (1 << 31, (1 << 31, 1))];
        for (time, expected) in table.into_iter().chain([(TIME_LIMIT, (0x7fff_ffff, 3))]) {
            assert_eq!(split_time(time), expected, "{time}");
        }
    }
}
