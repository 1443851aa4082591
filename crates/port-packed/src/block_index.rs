//! The block index of a raw image: which of its blocks hold data, and a hash of each (docs/formats/block-index.md).
//!
//! ```text
//! index of the wanted image ──► Sharing ◄── blocks of files that are at hand
//!                                  │
//!                                  └──► assemble: equal blocks from those files, the others from the image itself
//! ```
//!
//! It lies beside an image that is published as it is, so that others read, and write, only the blocks that they lack. It is
//! a hint and no proof: what was put together by it is hashed as a whole, and is nothing before.
//!
//! Invariant: one image has one index, byte for byte, and there is none whose sum, bounds and order were not checked.

mod assemble;
mod hashing;
mod sharing;

use std::io::{Read, Write};
use std::ops::Range;

use port_model::Digest;
use sha2::Digest as _;

use crate::PackedError;
use crate::limit::{BLOCK, BLOCK_INDEX_BYTES, IMAGE_BYTES, INDEXED_BLOCKS};
use crate::map::blocks_of;
use crate::sha256::{Sha256, bytes_of};
use crate::varint::{Reader, put};

pub use assemble::Copied;
pub use sharing::Sharing;

/// Bytes of a block's hash: the first of its SHA-256.
const HASH: usize = 16;
/// A block's hash.
type BlockSha = [u8; HASH];
/// The high byte and the line ends show a transfer that took the bytes for text.
const MAGIC: [u8; 8] = *b"\x89PIDX\r\n\x1a";
const VERSION: u16 = 1;
/// Bytes in front of the runs: magic, version, flags, image size, image SHA-256.
const HEADER: usize = 52;
/// Bytes of the SHA-256 at the end.
const SUM: usize = 32;
/// Bytes of the longest number of 32 bits.
const LONGEST: usize = 5;
const DOCUMENT: &str = "block index";
const RUNS: &str = "number of runs";

/// Blocks of an image that hold data, without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: u32,
    length: u32,
    /// Where the hash of the first is.
    place: u32,
}

impl Run {
    fn end(self) -> u32 {
        self.first.saturating_add(self.length)
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIndex {
    size: u64,
    digest: Digest,
    /// In order, with at least one zero block between two.
    runs: Vec<Run>,
    /// Of all blocks that the runs cover, in order.
    hashes: Vec<BlockSha>,
}

impl BlockIndex {
    /// The image's size in bytes.
    pub fn image_size(&self) -> u64 {
        self.size
    }

    /// The digest of the whole image.
    pub fn image_digest(&self) -> &Digest {
        &self.digest
    }

    /// Bytes of the image's blocks that are not zero.
    pub fn data(&self) -> u64 {
        self.runs.iter().map(|run| self.bytes(run.first, run.length)).sum()
    }

    /// The index as bytes.
    pub fn encode(&self) -> Result<Vec<u8>, PackedError> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the index, without having it in memory a second time.
    pub fn write(&self, out: &mut impl Write) -> Result<(), PackedError> {
        let head = self.head()?;
        let hashes = self.hashes.as_flattened();
        let sum = sha2::Sha256::new().chain_update(&head).chain_update(hashes).finalize();
        for part in [&head[..], hashes, &sum[..]] {
            out.write_all(part).map_err(PackedError::write("the block index"))?;
        }
        Ok(())
    }

    /// What stands in front of the hashes.
    fn head(&self) -> Result<Vec<u8>, PackedError> {
        let digest = bytes_of(&self.digest)
            .ok_or_else(|| malformed(format!("image digest: expected sha256, found {}", self.digest)))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&0_u16.to_le_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&digest);
        put(&mut bytes, self.runs.len() as u64);
        let mut end = 0;
        for run in &self.runs {
            put(&mut bytes, u64::from(run.first - end));
            put(&mut bytes, u64::from(run.length));
            end = run.end();
        }
        Ok(bytes)
    }

    /// Reads an index of at most [`BLOCK_INDEX_BYTES`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PackedError> {
        Self::read(&mut &bytes[..], bytes.len() as u64)
    }

    /// Reads an index of this many bytes, of which only what comes of it is in memory.
    pub fn read(from: &mut impl Read, length: u64) -> Result<Self, PackedError> {
        let failed = || PackedError::read("the block index");
        let least = (HEADER + SUM) as u64;
        if !(least..=BLOCK_INDEX_BYTES).contains(&length) {
            return Err(malformed(format!("expected {least} to {BLOCK_INDEX_BYTES} bytes, found {length}")));
        }
        let end = length - SUM as u64;
        let mut head = Vec::new();
        let mut read_to = |head: &mut Vec<u8>, to: u64| {
            let missing = to.min(end).saturating_sub(head.len() as u64);
            from.by_ref().take(missing).read_to_end(head).map(drop)
        };
        read_to(&mut head, (HEADER + LONGEST) as u64).map_err(failed())?;
        let (size, digest, body) = header(&head)?;
        let count = Reader::new(DOCUMENT, body).within32(RUNS, 0..=INDEXED_BLOCKS)?;
        read_to(&mut head, (HEADER + LONGEST) as u64 + u64::from(count) * 2 * LONGEST as u64)
            .map_err(failed())?;
        let mut reader = Reader::new(DOCUMENT, head.get(HEADER..).unwrap_or_default());
        let (runs, covered) = runs(&mut reader, blocks_of(size))?;
        let found = (end + reader.left() as u64).saturating_sub(head.len() as u64);
        if found != u64::from(covered) * HASH as u64 {
            return Err(malformed(format!("expected the hashes of {covered} blocks, found {found} bytes")));
        }
        let mut hashes = vec![[0; HASH]; covered as usize];
        let (here, missing) = hashes.as_flattened_mut().split_at_mut(reader.left());
        here.copy_from_slice(reader.rest());
        from.read_exact(missing).map_err(failed())?;
        let mut sum = [0; SUM];
        from.read_exact(&mut sum).map_err(failed())?;
        let expected: Sha256 =
            sha2::Sha256::new().chain_update(&head).chain_update(&*missing).finalize().into();
        if sum != expected {
            return Err(malformed("expected bytes that match the sum at the end, found others"));
        }
        Ok(Self { size, digest: Digest::sha256(&digest), runs, hashes })
    }

    /// Where the hash of a block is; `None` for a zero block.
    fn place(&self, block: u32) -> Option<u32> {
        let after = self.runs.partition_point(|run| run.first <= block);
        let run = self.runs.get(after.checked_sub(1)?)?;
        (block < run.end()).then(|| run.place + (block - run.first))
    }

    fn hash(&self, place: u32) -> Option<&BlockSha> {
        self.hashes.get(place as usize)
    }

    /// Number and hash of each block that holds data, in order.
    fn blocks(&self) -> impl Iterator<Item = (u32, &BlockSha)> {
        self.runs.iter().flat_map(|run| run.first..run.end()).zip(&self.hashes)
    }

    /// The bytes of the image in these blocks: the last one may be short.
    fn bytes(&self, first: u32, length: u32) -> u64 {
        let range = byte_range(first, length);
        range.end.min(self.size).saturating_sub(range.start)
    }
}

fn byte_range(first: u32, length: u32) -> Range<u64> {
    let block = BLOCK as u64;
    u64::from(first) * block..(u64::from(first) + u64::from(length)) * block
}

fn malformed(finding: impl Into<String>) -> PackedError {
    PackedError::Malformed { document: DOCUMENT, finding: finding.into() }
}

/// Image size, image digest, and what follows.
fn header(bytes: &[u8]) -> Result<(u64, Sha256, &[u8]), PackedError> {
    let fields = || {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (flags, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let numbers = (u16::from_le_bytes(*version), u16::from_le_bytes(*flags), u64::from_le_bytes(*size));
        Some((*magic, numbers, *digest, rest))
    };
    let Some((magic, (version, flags, size), digest, rest)) = fields() else {
        return Err(malformed(format!("expected a header of {HEADER} bytes, found {}", bytes.len())));
    };
    if magic != MAGIC {
        return Err(malformed("expected the magic of a block index, found other bytes"));
    }
    if version != VERSION {
        return Err(malformed(format!("version: expected {VERSION}, found {version}")));
    }
    if flags != 0 {
        return Err(malformed(format!("flags: expected none, found {flags:#06x}")));
    }
    if size > IMAGE_BYTES {
        return Err(malformed(format!("image size: expected at most {IMAGE_BYTES}, found {size}")));
    }
    Ok((size, digest, rest))
}

/// The runs, and how many blocks they cover.
fn runs(reader: &mut Reader<'_>, blocks: u32) -> Result<(Vec<Run>, u32), PackedError> {
    let count = reader.within32(RUNS, 0..=INDEXED_BLOCKS)?;
    // Two bytes are the shortest run, so this never asks for more than six times the body.
    let mut runs = Vec::with_capacity((count as usize).min(reader.left() / 2));
    let (mut end, mut covered) = (0, 0_u32);
    for number in 0..count {
        let least = u32::from(number > 0);
        let skip = reader.within32("zero blocks before a run", least..=(blocks - end).max(least))?;
        let left = (blocks - end).saturating_sub(skip).min(INDEXED_BLOCKS - covered);
        let length = reader.within32("length of a run", 1..=left.max(1))?;
        if length > left {
            return Err(reader.error(format!("run {number}: expected it within {blocks} blocks")));
        }
        runs.push(Run { first: end + skip, length, place: covered });
        end += skip + length;
        covered += length;
    }
    Ok((runs, covered))
}

/// The hash of one block, the last one padded with zeros.
fn hash_of(block: &[u8]) -> BlockSha {
    let sha: Sha256 = sha2::Sha256::digest(block).into();
    let mut hash = [0; HASH];
    hash.copy_from_slice(&sha[..HASH]);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(runs: &[(u32, u32)], size: u64) -> BlockIndex {
        let mut place = 0;
        let runs: Vec<Run> = runs
            .iter()
            .map(|&(first, length)| {
                place += length;
                Run { first, length, place: place - length }
            })
            .collect();
        let hashes = (0..place).map(|n| hash_of(&n.to_le_bytes())).collect();
        BlockIndex { size, digest: Digest::sha256(&[7; 32]), runs, hashes }
    }

    fn sealed(mut bytes: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> String {
        bytes.truncate(bytes.len() - SUM);
        change(&mut bytes);
        let sum = crate::sha256::of(&bytes);
        bytes.extend_from_slice(&sum);
        BlockIndex::decode(&bytes).unwrap_err().to_string()
    }

    #[test]
    fn an_index_round_trips_and_finds_its_blocks() {
        for (runs, size) in
            [(&[][..], 0), (&[], 1 << 40), (&[(0, 1)], 1), (&[(0, 2), (3, 1), (9, 4)], 13 * 4096 - 5)]
        {
            let index = index(runs, size);
            let bytes = index.encode().unwrap();
            assert_eq!(BlockIndex::decode(&bytes).unwrap(), index);
        }
        let index = index(&[(1, 2), (5, 1)], 6 * 4096 - 96);
        let places = [None, Some(0), Some(1), None, None, Some(2), None];
        assert_eq!((0..7).map(|block| index.place(block)).collect::<Vec<_>>(), places);
        assert_eq!(index.data(), 3 * 4096 - 96);
    }

    #[test]
    fn every_flipped_or_missing_byte_is_found() {
        let bytes = index(&[(0, 2), (3, 1)], 5 * 4096).encode().unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(BlockIndex::decode(&damaged).is_err(), "byte {at}");
            assert!(BlockIndex::decode(&bytes[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn an_index_that_lies_with_a_right_sum_is_refused() {
        let bytes = || index(&[(0, 2), (3, 1)], 5 * 4096).encode().unwrap();
        for (change, expected) in [
            ((|b| b[0] = 0) as fn(&mut Vec<u8>), "magic"),
            (|b| b[8] = 2, "version: expected 1, found 2"),
            (|b| b[10] = 1, "flags: expected none"),
            (|b| b[19] = 1, "image size: expected at most"),
            (|b| b[12 + 1] = 0x20, "within 2 blocks"),
            (|b| b[HEADER] = 1, "hashes of 2 blocks"),
            (|b| b[HEADER] = 3, "a run"),
            (|b| b[HEADER + 2] = 0, "length of a run: expected 1 to 5, found 0"),
            (|b| b[HEADER + 2] = 6, "length of a run: expected 1 to 5, found 6"),
            (|b| b[HEADER + 3] = 0, "zero blocks before a run: expected 1 to 3, found 0"),
            (|b| b[HEADER + 3] = 3, "within 5 blocks"),
            (|b| b.push(0), "hashes of 3 blocks"),
            (|b| b.truncate(b.len() - 16), "hashes of 3 blocks"),
        ] {
            let text = sealed(bytes(), change);
            assert!(text.contains(expected), "expected {expected}, found {text}");
        }
    }

    #[test]
    fn an_index_is_read_from_where_it_lies_and_no_further() {
        let index = index(&[(0, 900), (1000, 3)], 5000 * 4096);
        let bytes = index.encode().unwrap();
        let mut more = bytes.clone();
        more.extend_from_slice(b"behind it");
        let mut from = &more[..];
        assert_eq!(BlockIndex::read(&mut from, bytes.len() as u64).unwrap(), index);
        assert_eq!(from, b"behind it");
        for (found, length) in
            [(&bytes[..], bytes.len() + 1), (&bytes[..99], bytes.len()), (&more, more.len())]
        {
            assert!(BlockIndex::read(&mut &found[..], length as u64).is_err(), "{length}");
        }
        let giant = BlockIndex::read(&mut std::io::repeat(0), u64::MAX).unwrap_err().to_string();
        assert!(giant.contains("expected 84 to"), "{giant}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_or_canonical(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = index(&[], 99 * 4096).encode().unwrap();
            bytes.truncate(HEADER);
            bytes.extend_from_slice(&body);
            let sum = crate::sha256::of(&bytes);
            bytes.extend_from_slice(&sum);
            if let Ok(index) = BlockIndex::decode(&bytes) {
                prop_assert_eq!(index.encode().unwrap(), bytes);
            }
        }
    }
}
