//! The index of a delta: both images, the frames with what they refer to, and where each block comes from.
//!
//! Addresses below the parent's number of blocks are blocks of the parent; those from there on are blocks of the
//! delta's frames. Invariant: an [`Index`] is consistent; it was made by the encoder or checked whole.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use port_model::Digest;

use crate::limit::{DELTA_BYTES, IMAGE_BYTES, REFERENCE_BLOCKS};
use crate::map::{FRAME_RECORD, Frame, blocks_of, put_frames, read_frames};
use crate::segments::{self, Segment, Space};
use crate::sha256;
use crate::varint::{Reader, put, unzigzag, zigzag};
use crate::{PackedError, envelope};

/// One frame of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaFrame {
    /// Its lengths and the SHA-256 of its plain content.
    pub frame: Frame,
    /// Runs of parent blocks, as first block and length, whose bytes stand before the content when it is compressed.
    pub references: Vec<(u32, u32)>,
}

/// What a delta consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub(crate) parent_size: u64,
    pub(crate) parent_digest: Digest,
    pub(crate) target_size: u64,
    pub(crate) target_digest: Digest,
    pub(crate) frames: Vec<DeltaFrame>,
    pub(crate) segments: Vec<Segment>,
}

fn error(finding: impl Into<String>) -> PackedError {
    PackedError::Malformed { document: envelope::DELTA.name, finding: finding.into() }
}

impl Index {
    /// Reads and checks the index of a delta blob; also returns where the frames begin.
    ///
    /// The blob's length must be that of the index and the frames together.
    pub fn read(file: &File) -> Result<(Self, u64), PackedError> {
        let failed = || PackedError::read("the delta");
        let length = file.metadata().map_err(failed())?.len();
        if length < envelope::HEADER as u64 {
            return Err(error(format!("expected a header of {} bytes, found {length}", envelope::HEADER)));
        }
        let mut header = [0; envelope::HEADER];
        file.read_exact_at(&mut header, 0).map_err(failed())?;
        let header = envelope::Header::parse(envelope::DELTA, &header)?;
        let start = envelope::HEADER as u64 + header.stored as u64;
        if length < start {
            return Err(error(format!("expected an index of {start} bytes, found {length} in all")));
        }
        let mut body = vec![0; header.stored];
        file.read_exact_at(&mut body, envelope::HEADER as u64).map_err(failed())?;
        let index = Self::from_body(&header.open(&body)?)?;
        let expected = start + index.frames_size();
        if length != expected {
            return Err(error(format!("expected {expected} bytes, found {length}")));
        }
        Ok((index, start))
    }

    /// Size of the parent image, in bytes.
    pub fn parent_size(&self) -> u64 {
        self.parent_size
    }

    /// SHA-256 of the parent image.
    pub fn parent_digest(&self) -> &Digest {
        &self.parent_digest
    }

    /// Size of the image that comes out, in bytes.
    pub fn target_size(&self) -> u64 {
        self.target_size
    }

    /// SHA-256 of the image that comes out.
    pub fn target_digest(&self) -> &Digest {
        &self.target_digest
    }

    /// The frames, in order.
    pub fn frames(&self) -> &[DeltaFrame] {
        &self.frames
    }

    /// Stored bytes of all frames.
    pub fn frames_size(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.frame.stored)).sum()
    }

    /// Blocks of the parent: where the delta's own addresses begin.
    pub(crate) fn parent_blocks(&self) -> u32 {
        blocks_of(self.parent_size)
    }

    pub(crate) fn body(&self) -> Result<Vec<u8>, PackedError> {
        let mut bytes = Vec::new();
        for (size, digest) in
            [(self.parent_size, &self.parent_digest), (self.target_size, &self.target_digest)]
        {
            put(&mut bytes, size);
            let hash = sha256::bytes_of(digest);
            bytes.extend_from_slice(&hash.ok_or_else(|| error(format!("expected SHA-256, found {digest}")))?);
        }
        put(&mut bytes, self.frames.len() as u64);
        let frames: Vec<Frame> = self.frames.iter().map(|frame| frame.frame).collect();
        put_frames(&frames, &mut bytes);
        let mut end = 0;
        for frame in &self.frames {
            put(&mut bytes, frame.references.len() as u64);
            for &(first, length) in &frame.references {
                put(&mut bytes, zigzag(i64::from(first) - i64::from(end)));
                put(&mut bytes, u64::from(length));
                end = first + length;
            }
        }
        segments::encode(&self.segments, &mut bytes);
        Ok(bytes)
    }

    pub(crate) fn from_body(bytes: &[u8]) -> Result<Self, PackedError> {
        let mut reader = Reader::new(envelope::DELTA.name, bytes);
        let parent_size = reader.within("parent size", 0..=IMAGE_BYTES)?;
        let parent_digest = Digest::sha256(&reader.sha256("parent SHA-256")?);
        let target_size = reader.within("image size", 0..=IMAGE_BYTES)?;
        let target_digest = Digest::sha256(&reader.sha256("image SHA-256")?);
        let most = (reader.left() / FRAME_RECORD) as u64;
        let count = reader.within("number of frames", 0..=most)?;
        let frames = read_frames(&mut reader, count as usize)?;
        let parent_blocks = blocks_of(parent_size);
        let mut end = 0;
        let mut described = Vec::with_capacity(frames.len());
        for frame in frames {
            let references = read_references(&mut reader, parent_blocks, &mut end)?;
            described.push(DeltaFrame { frame, references });
        }
        let own: u64 = described.iter().map(|frame| u64::from(frame.frame.blocks)).sum();
        let addresses = u32::try_from(u64::from(parent_blocks) + own)
            .map_err(|_| error(format!("expected fewer than 2^32 blocks, found {own} and the parent's")))?;
        let segments = segments::decode(&mut reader, Space { blocks: blocks_of(target_size), addresses })?;
        let index =
            Self { parent_size, parent_digest, target_size, target_digest, frames: described, segments };
        let size = index.frames_size();
        if size > DELTA_BYTES {
            return Err(error(format!("expected at most {DELTA_BYTES} bytes of frames, found {size}")));
        }
        Ok(index)
    }
}

/// The runs of one frame: ascending, apart from each other, within the parent, bounded in sum.
fn read_references(
    reader: &mut Reader<'_>,
    parent_blocks: u32,
    end: &mut u32,
) -> Result<Vec<(u32, u32)>, PackedError> {
    let count = reader.within32("number of references of a frame", 0..=REFERENCE_BLOCKS)?;
    let mut references: Vec<(u32, u32)> = Vec::new();
    let mut room = REFERENCE_BLOCKS;
    for _ in 0..count {
        let difference = unzigzag(reader.number("first block of a reference")?);
        let first = i64::from(*end).checked_add(difference).and_then(|first| u32::try_from(first).ok());
        let length = reader.within32("length of a reference", 1..=room.max(1))?;
        let behind = first.and_then(|first| first.checked_add(length)).filter(|end| *end <= parent_blocks);
        let (Some(first), Some(behind)) = (first, behind) else {
            return Err(
                reader.error(format!("expected a reference within {parent_blocks} blocks, found another"))
            );
        };
        if length > room || references.last().is_some_and(|(before, count)| before + count >= first) {
            return Err(reader.error(format!(
                "expected references that ascend, at most {REFERENCE_BLOCKS} blocks in all, found others"
            )));
        }
        room -= length;
        references.push((first, length));
        *end = behind;
    }
    Ok(references)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(references: Vec<(u32, u32)>, segments: Vec<Segment>) -> Index {
        let frame = Frame { stored: 10, blocks: 3, sha256: [1; 32] };
        Index {
            parent_size: 100 * 4096,
            parent_digest: Digest::sha256(&[2; 32]),
            target_size: 50 * 4096,
            target_digest: Digest::sha256(&[3; 32]),
            frames: vec![DeltaFrame { frame, references }, DeltaFrame { frame, references: vec![(5, 1)] }],
            segments,
        }
    }

    fn segments() -> Vec<Segment> {
        vec![
            Segment { target: 0, length: 10, source: 20 },
            Segment { target: 10, length: 6, source: 100 },
            // Crosses from the parent's addresses to the delta's.
            Segment { target: 40, length: 4, source: 98 },
        ]
    }

    #[test]
    fn an_index_reads_back_and_lies_are_refused() {
        let good = index(vec![(3, 4), (50, 50)], segments());
        assert_eq!(Index::from_body(&good.body().unwrap()).unwrap(), good);
        for (references, word) in [
            (vec![(3, 4), (7, 1)], "ascend"),
            (vec![(30, 4), (7, 1)], "ascend"),
            (vec![(99, 2)], "within 100 blocks"),
            (vec![(0, 0)], "length of a reference"),
            (vec![(0, 2000)], "length of a reference"),
        ] {
            let body = index(references.clone(), segments()).body().unwrap();
            let text = Index::from_body(&body).unwrap_err().to_string();
            assert!(text.contains(word), "{references:?}: {text}");
        }
        let beyond = vec![Segment { target: 0, length: 7, source: 100 }];
        let text = Index::from_body(&index(vec![], beyond).body().unwrap()).unwrap_err().to_string();
        assert!(text.contains("106 addresses"), "{text}");
    }

    proptest! {
        #[test]
        fn any_body_is_refused_or_canonical(
            place in any::<prop::sample::Index>(),
            value: u8,
            cut in any::<prop::sample::Index>(),
            more in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut body = index(vec![(3, 4), (50, 50)], segments()).body().unwrap();
            let place = place.index(body.len());
            body[place] = value;
            body.truncate(cut.index(body.len() * 4) + 1);
            body.extend_from_slice(&more);
            if let Ok(index) = Index::from_body(&body) {
                prop_assert_eq!(index.body().unwrap(), body);
            }
        }
    }
}
