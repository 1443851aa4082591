//! Which blocks of a wanted image other files have, wherever in them.
//!
//! A block counts as found when 128 bits of its SHA-256 agree. Nobody is believed for that: the image is hashed as a whole in the end.

use std::fs::File;
use std::ops::Range;

use super::hashing::scan;
use super::{BlockIndex, BlockSha, byte_range};
use crate::blocks::Blocks;
use crate::plan::GAP;
use crate::segments::Used;
use crate::{Control, PackedError};

/// The most files that one image is put together from, beside itself.
const SOURCES: usize = 8;
/// Bits of a block's number in a [`Place`]: an image of [`crate::limit::IMAGE_BYTES`] has no more blocks.
const BLOCK_BITS: u32 = 28;
/// The block is in no other file.
const NOWHERE: Place = Place(u32::MAX);

/// A file and a block of it, in four bytes, since there is one for each block of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u32);

impl Place {
    fn new(source: usize, block: u32) -> Option<Self> {
        let fits = source < SOURCES && block < 1 << BLOCK_BITS;
        fits.then_some(Self((source as u32) << BLOCK_BITS | block))
    }

    fn parts(self) -> Option<(usize, u32)> {
        (self != NOWHERE).then_some(((self.0 >> BLOCK_BITS) as usize, self.0 & ((1 << BLOCK_BITS) - 1)))
    }
}

/// Blocks that lie together in the image and in the file where they are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first: u32,
    pub(super) length: u32,
    /// Which file, and the first block there; the image itself where there is none.
    pub(super) from: Option<(usize, u32)>,
}

/// See the module. Files are added in the order of preference, each with the number that [`Sharing::assemble`] knows it by.
#[derive(Debug)]
pub struct Sharing {
    pub(super) wanted: BlockIndex,
    /// For each hash of the index.
    found: Vec<Place>,
    /// Places of the hashes, by hash.
    order: Vec<u32>,
    /// Marks the first of equal hashes in `order` when all of them are served: an image of one block repeated must not be
    /// walked once for each of its blocks.
    served: Used,
    missing: u32,
}

impl Sharing {
    /// Nothing is found yet.
    pub fn new(wanted: BlockIndex) -> Self {
        let count = u32::try_from(wanted.hashes.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|place| (wanted.hash(*place), *place));
        let found = vec![NOWHERE; wanted.hashes.len()];
        Self { wanted, found, order, served: Used::new(count), missing: count }
    }

    /// Looks for blocks in a file, which is read once.
    pub fn add_file(
        &mut self,
        source: usize,
        file: &File,
        threads: usize,
        control: &Control,
    ) -> Result<(), PackedError> {
        scan(Blocks::open(file, "a local image")?, threads, control, |chunk| {
            for (block, hash) in chunk.data() {
                self.offer(source, block, hash);
            }
            Ok(())
        })
    }

    /// Looks for blocks in a file whose index is known, which is not read.
    pub fn add_index(&mut self, source: usize, index: &BlockIndex) {
        for (block, hash) in index.blocks() {
            self.offer(source, block, hash);
        }
    }

    /// The index of the wanted image.
    pub fn wanted(&self) -> &BlockIndex {
        &self.wanted
    }

    /// The same, where nothing more is looked for.
    pub fn into_wanted(self) -> BlockIndex {
        self.wanted
    }

    /// Bytes of the image that the files have.
    pub fn found(&self) -> u64 {
        let found = self.pieces().filter(|piece| piece.from.is_some());
        found.map(|piece| self.wanted.bytes(piece.first, piece.length)).sum()
    }

    /// The bytes of the image that are in none of the files, in order. What lies between two of them that are near is among them:
    /// asking once more costs more.
    pub fn missing(&self) -> Vec<Range<u64>> {
        let mut missing: Vec<Range<u64>> = Vec::new();
        for piece in self.pieces().filter(|piece| piece.from.is_none()) {
            let mut range = byte_range(piece.first, piece.length);
            range.end = range.end.min(self.wanted.image_size());
            match missing.last_mut() {
                Some(last) if range.start - last.end <= GAP => last.end = range.end,
                _ => missing.push(range),
            }
        }
        missing
    }

    /// Whether at least so many percent of the image's data were found.
    pub fn has_percent(&self, percent: u64) -> bool {
        let all = self.found.len() as u64;
        (all - u64::from(self.missing)) * 100 >= all * percent
    }

    fn offer(&mut self, source: usize, block: u32, hash: &BlockSha) {
        let Some(place) = Place::new(source, block) else { return };
        // The same block of the image comes first, so that what did not move is one long piece.
        if let Some(same) = self.wanted.place(block).filter(|same| self.wanted.hash(*same) == Some(hash)) {
            self.take(same, place);
        }
        let first = self.order.partition_point(|place| self.wanted.hash(*place) < Some(hash));
        let equal = |place: &&u32| self.wanted.hash(**place) == Some(hash);
        if !self.order.get(first).as_ref().is_some_and(equal) || !self.served.mark(first as u32) {
            return;
        }
        let count = self.order.iter().skip(first).take_while(equal).count();
        for at in first..first + count {
            if let Some(wanted) = self.order.get(at) {
                self.take(*wanted, place);
            }
        }
    }

    fn take(&mut self, wanted: u32, place: Place) {
        if let Some(found) = self.found.get_mut(wanted as usize).filter(|found| **found == NOWHERE) {
            *found = place;
            self.missing -= 1;
        }
    }

    /// What to take from where, in the order of the image; zero blocks are left out.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> {
        let blocks = self.wanted.blocks().zip(&self.found);
        let mut blocks =
            blocks.map(|((first, _), place)| Piece { first, length: 1, from: place.parts() }).peekable();
        std::iter::from_fn(move || {
            let mut piece = blocks.next()?;
            while blocks.next_if(|next| piece.continues(next)).is_some() {
                piece.length += 1;
            }
            Some(piece)
        })
    }
}

impl Piece {
    fn continues(&self, next: &Self) -> bool {
        let from = match (self.from, next.from) {
            (None, None) => true,
            (Some((source, block)), Some((other, there))) => source == other && block + self.length == there,
            _ => false,
        };
        from && self.first + self.length == next.first
    }
}
