//! What the formats allow. Every number that comes from outside is compared with one of these before it is used.

/// The unit of matching and of all addresses, in bytes.
pub const BLOCK: usize = 4096;
/// Blocks in one frame: 4 MiB, which bounds what a decoder ever allocates for one.
pub const FRAME_BLOCKS: u32 = 1024;
/// Blocks of the parent that one frame of a delta may refer to.
pub const REFERENCE_BLOCKS: u32 = 1024;
/// A pack, in stored bytes.
pub const PACK_BYTES: u64 = 64 * 1024 * 1024;
/// Packs of one map: with the map they fit into a manifest of 1000 layers beside other components.
pub const PACKS: usize = 900;
/// A raw image, in bytes: 1 TiB.
pub const IMAGE_BYTES: u64 = 1 << 40;
/// The plain body of a map or of a delta's index, in bytes.
pub const INDEX_BYTES: usize = 16 * 1024 * 1024;
/// A delta blob, in bytes.
pub const DELTA_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Blocks with data that a block index may describe: 16 GiB. Larger images are published without one.
pub const INDEXED_BLOCKS: u32 = 4 * 1024 * 1024;
/// A block index, in bytes: the hashes, and every block a run of its own.
pub const BLOCK_INDEX_BYTES: u64 = INDEXED_BLOCKS as u64 * 22 + 1024;
/// Threads that one call may use: memory grows with them.
pub const THREADS: usize = 16;
