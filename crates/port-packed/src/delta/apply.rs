//! Makes an image from its parent and a delta.
//!
//! Invariant: each frame's SHA-256 is checked before it is written, and the image's at the end; so a parent that is
//! not the right one, or was damaged, is an error.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::{DeltaFrame, Index, Known};
use crate::blocks::Blocks;
use crate::limit::{BLOCK, THREADS};
use crate::output::Output;
use crate::plan::{between, cut_at_frames};
use crate::segments::Segment;
use crate::writer::gather;
use crate::{Control, PackedError, Step, frame, parallel, sha256};

/// Writes the image to the empty file `target`, opened for reading and writing; returns what the delta says of it.
pub fn apply(
    delta: &File,
    parent: Known<'_>,
    target: &File,
    threads: usize,
    control: &Control,
) -> Result<Index, PackedError> {
    let (index, start) = Index::read(delta)?;
    let old = Blocks::open(parent.file, "the parent image")?;
    if *parent.digest != index.parent_digest || old.size() != index.parent_size {
        return Err(PackedError::OtherImage {
            role: "parent",
            expected: format!("{} of {} bytes", index.parent_digest, index.parent_size),
            found: format!("{} of {} bytes", parent.digest, old.size()),
        });
    }
    let output = Output::start(target, index.target_size, &index.segments, control)?;
    let work = Work { delta, old, output: &output, control, pieces: own_pieces(&index) };
    work.copy(&index, parent.file)?;
    let frames = places(&index, start);
    let state = || (Vec::new(), Vec::new(), Vec::new());
    parallel::each(threads.clamp(1, THREADS), control, &frames, state, |buffers, place| {
        work.take(place, buffers)
    })?;
    let found = output.finish()?;
    if found != index.target_digest {
        return Err(PackedError::WrongImage { expected: index.target_digest, found });
    }
    Ok(index)
}

/// What comes from the delta's frames, cut at their ends and sorted by address.
fn own_pieces(index: &Index) -> Vec<Segment> {
    let base = index.parent_blocks();
    let own = index.segments.iter().filter(|segment| segment.source_end() > base).map(|segment| {
        // The parent's last block and the delta's first may stand side by side in one segment.
        let cut = base.saturating_sub(segment.source);
        Segment { target: segment.target + cut, length: segment.length - cut, source: segment.source + cut }
    });
    cut_at_frames(own, index.frames.iter().map(|frame| frame.frame.blocks), base)
}

struct Place<'a> {
    number: usize,
    frame: &'a DeltaFrame,
    offset: u64,
    address: u32,
}

fn places(index: &Index, start: u64) -> Vec<Place<'_>> {
    let (mut offset, mut address) = (start, index.parent_blocks());
    let mut places = Vec::with_capacity(index.frames.len());
    for (number, frame) in index.frames.iter().enumerate() {
        places.push(Place { number, frame, offset, address });
        offset += u64::from(frame.frame.stored);
        address += frame.frame.blocks;
    }
    places
}

struct Work<'a> {
    delta: &'a File,
    old: Blocks<'a>,
    output: &'a Output,
    control: &'a Control,
    pieces: Vec<Segment>,
}

impl Work<'_> {
    fn copy(&self, index: &Index, parent: &File) -> Result<(), PackedError> {
        let base = index.parent_blocks();
        for segment in index.segments.iter().filter(|segment| segment.source < base) {
            let length = segment.length.min(base - segment.source);
            self.output.copy(parent, segment.source, segment.target, length)?;
        }
        Ok(())
    }

    fn take(
        &self,
        place: &Place<'_>,
        (stored, reference, plain): &mut (Vec<u8>, Vec<u8>, Vec<u8>),
    ) -> Result<(), PackedError> {
        let damaged =
            |finding| PackedError::Frame { container: "the delta".to_owned(), frame: place.number, finding };
        let described = &place.frame.frame;
        stored.resize(described.stored as usize, 0);
        plain.resize(described.plain(), 0);
        self.delta.read_exact_at(stored, place.offset).map_err(PackedError::read("the delta"))?;
        gather(self.old, &place.frame.references, reference)?;
        frame::decode_with_reference(stored, reference, plain).map_err(damaged)?;
        if sha256::of(plain) != described.sha256 {
            return Err(damaged(
                "its content's SHA-256 is another: it, or the parent image, was changed".to_owned(),
            ));
        }
        for piece in between(&self.pieces, place.address, place.address + described.blocks) {
            let start = (piece.source - place.address) as usize * BLOCK;
            let bytes = plain.get(start..start + piece.length as usize * BLOCK).unwrap_or_default();
            self.output.write(piece.target, bytes)?;
            self.control.tell(Step::Decoded(bytes.len() as u64));
        }
        Ok(())
    }
}
