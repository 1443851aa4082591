//! Little-endian fields at fixed offsets of on-disk structures.
//!
//! The offsets are constants of the format and the buffers have fixed sizes, so a slice error here is a
//! mistake in this crate, never in what it is given.

/// One file-system block.
pub(super) type Block = [u8; super::geometry::BLOCK_BYTES];

/// An all-zero block.
pub(super) const ZERO_BLOCK: Block = [0; super::geometry::BLOCK_BYTES];

pub(super) fn put_bytes(buffer: &mut [u8], offset: usize, value: &[u8]) {
    buffer[offset..offset + value.len()].copy_from_slice(value);
}

pub(super) fn put_u16(buffer: &mut [u8], offset: usize, value: u16) {
    put_bytes(buffer, offset, &value.to_le_bytes());
}

pub(super) fn put_u32(buffer: &mut [u8], offset: usize, value: u32) {
    put_bytes(buffer, offset, &value.to_le_bytes());
}

/// The lower 16 bits.
pub(super) fn low_u16(value: u64) -> u16 {
    (value & 0xffff) as u16
}

/// The lower 32 bits.
pub(super) fn low_u32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}
