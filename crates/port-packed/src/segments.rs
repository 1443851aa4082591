//! Segments: which run of an image's blocks comes from which run of an address space.
//!
//! Shared by the map (addresses are places in packs) and by the delta (addresses are places in the parent, then in
//! the delta's frames). Written as three numbers: zero blocks skipped, length, and the source address as a signed
//! difference to where the segment before it ended.
//!
//! Invariant of a checked list: sorted by target, no overlap, no empty segment, and none that could be joined to the
//! one before it, so that one image has one list.

use crate::PackedError;
use crate::varint::{Reader, put, unzigzag, zigzag};

/// A run of blocks of the image and where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First block of the image.
    pub target: u32,
    /// How many blocks.
    pub length: u32,
    /// First address.
    pub source: u32,
}

impl Segment {
    /// The block behind the last. Checked lists keep it within 32 bits.
    pub(crate) fn end(&self) -> u32 {
        self.target.saturating_add(self.length)
    }

    /// The address behind the last.
    pub(crate) fn source_end(&self) -> u32 {
        self.source.saturating_add(self.length)
    }
}

/// Collects segments in image order, joining what continues.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    segments: Vec<Segment>,
}

impl Collector {
    pub(crate) fn push(&mut self, target: u32, length: u32, source: u32) {
        match self.segments.last_mut() {
            Some(last) if last.end() == target && last.source_end() == source => last.length += length,
            _ if length == 0 => {}
            _ => self.segments.push(Segment { target, length, source }),
        }
    }

    pub(crate) fn finish(self) -> Vec<Segment> {
        self.segments
    }
}

/// What a list must fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    /// Blocks of the image.
    pub(crate) blocks: u32,
    /// Addresses.
    pub(crate) addresses: u32,
}

pub(crate) fn encode(segments: &[Segment], bytes: &mut Vec<u8>) {
    let (mut target, mut source) = (0, 0);
    for segment in segments {
        put(bytes, u64::from(segment.target - target));
        put(bytes, u64::from(segment.length));
        put(bytes, zigzag(i64::from(segment.source) - i64::from(source)));
        (target, source) = (segment.end(), segment.source_end());
    }
}

/// Reads segments until the body ends.
pub(crate) fn decode(reader: &mut Reader<'_>, space: Space) -> Result<Vec<Segment>, PackedError> {
    // Three bytes are the shortest segment, so this never asks for more than four times the body.
    let mut segments: Vec<Segment> = Vec::with_capacity(reader.left() / 3);
    let (mut target, mut source) = (0_u32, 0_u32);
    while !reader.is_empty() {
        let skip = reader.within32("zero blocks before a segment", 0..=space.blocks - target)?;
        let left = space.blocks - target - skip;
        let length = reader.within32("length of a segment", 1..=left.max(1))?;
        let difference = unzigzag(reader.number("source of a segment")?);
        let first = i64::from(source).checked_add(difference).and_then(|first| u32::try_from(first).ok());
        let segment = first.map(|source| Segment { target: target + skip, length, source });
        let fits = |segment: &Segment| {
            length <= left && segment.source.checked_add(length).is_some_and(|end| end <= space.addresses)
        };
        let Some(segment) = segment.filter(fits) else {
            return Err(reader.error(format!(
                "segment {}: expected it within {} blocks and {} addresses, found another",
                segments.len(),
                space.blocks,
                space.addresses
            )));
        };
        if skip == 0 && difference == 0 && !segments.is_empty() {
            return Err(reader.error(format!(
                "segment {}: expected it joined to the one before, found two",
                segments.len()
            )));
        }
        (target, source) = (segment.end(), segment.source_end());
        segments.push(segment);
    }
    segments.shrink_to_fit();
    Ok(segments)
}

/// The segment that covers a block of the image.
pub(crate) fn find(segments: &[Segment], block: u32) -> Option<&Segment> {
    let after = segments.partition_point(|segment| segment.target <= block);
    let segment = segments.get(after.checked_sub(1)?)?;
    (block < segment.end()).then_some(segment)
}

/// How many different addresses are used, as a bit for each.
#[derive(Debug)]
pub(crate) struct Used {
    words: Vec<u64>,
}

impl Used {
    pub(crate) fn new(addresses: u32) -> Self {
        Self { words: vec![0; addresses.div_ceil(64) as usize] }
    }

    /// Marks an address; whether it was new.
    pub(crate) fn mark(&mut self, address: u32) -> bool {
        let Some(word) = self.words.get_mut((address / 64) as usize) else { return false };
        let bit = 1 << (address % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(crate) fn of(addresses: u32, segments: &[Segment]) -> Self {
        let mut used = Self::new(addresses);
        for segment in segments {
            for address in segment.source..segment.source_end() {
                used.mark(address);
            }
        }
        used
    }

    /// How many of `first..end` are marked.
    pub(crate) fn count(&self, first: u32, end: u32) -> u32 {
        let mut count = 0;
        let mut at = first;
        while at < end {
            let word = self.words.get((at / 64) as usize).copied().unwrap_or_default() >> (at % 64);
            let bits = (64 - at % 64).min(end - at);
            let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
            count += (word & mask).count_ones();
            at += bits;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], space: Space) -> Result<Vec<Segment>, String> {
        let mut reader = Reader::new("map", bytes);
        decode(&mut reader, space).map_err(|error| error.to_string())
    }

    const SPACE: Space = Space { blocks: 100, addresses: 50 };

    #[test]
    fn segments_round_trip_and_are_found() {
        let mut collector = Collector::default();
        for (target, length, source) in [(2, 3, 0), (5, 1, 3), (6, 4, 1), (90, 10, 40)] {
            collector.push(target, length, source);
        }
        let segments = collector.finish();
        assert_eq!(segments.len(), 3, "the second continues the first");
        let mut bytes = Vec::new();
        encode(&segments, &mut bytes);
        assert_eq!(read(&bytes, SPACE).unwrap(), segments);
        assert_eq!(find(&segments, 1), None);
        assert_eq!(find(&segments, 5), segments.first());
        assert_eq!(find(&segments, 9), segments.get(1));
        assert_eq!(find(&segments, 10), None);
        let used = Used::of(50, &segments);
        assert_eq!(used.count(0, 50), 5 + 10);
        assert_eq!(used.count(4, 41), 2);
    }

    #[test]
    fn lists_that_lie_are_refused() {
        let joined = [0, 1, 0, 0, 1, 0];
        for (bytes, word) in [
            (&[101, 1, 0][..], "zero blocks"),
            (&[100, 1, 0], "within 100 blocks"),
            (&[99, 2, 0], "length of a segment"),
            (&[0, 0, 0], "length of a segment"),
            (&[0, 51, 0], "50 addresses"),
            (&[0, 1, 1], "50 addresses"),
            (&[0, 1, 100], "50 addresses"),
            (&joined, "joined"),
            (&[0, 1], "the end"),
        ] {
            let text = read(bytes, SPACE).unwrap_err();
            assert!(text.contains(word), "{bytes:?}: {text}");
        }
    }
}
