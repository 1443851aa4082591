//! An image from what its plan names: local images are copied from, frames are decoded as their packs arrive.
//!
//! All methods take `&self` and may run at the same time from many threads, so that decoding overlaps fetching.
//! Invariant: a frame's SHA-256 is checked before one of its bytes is written, and the image's at the end.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::frame::Decoder;
use crate::limit::{BLOCK, THREADS};
use crate::map::{Frame, Pack};
use crate::output::Output;
use crate::plan::{Plan, between};
use crate::{Control, PackedError, Step, parallel, sha256};

/// Makes one image.
#[derive(Debug)]
pub struct Assembler {
    plan: Arc<Plan>,
    output: Output,
    threads: usize,
    control: Control,
}

/// Where a frame is.
struct Place<'a> {
    number: u32,
    frame: &'a Frame,
    /// In the pack, in bytes.
    offset: u64,
    /// Its first address.
    address: u32,
}

impl Assembler {
    /// Starts. `target` is an empty file, opened for reading and writing; `threads` decode frames of each pack.
    pub fn new(
        plan: Arc<Plan>,
        target: &File,
        threads: usize,
        control: &Control,
    ) -> Result<Self, PackedError> {
        let output = Output::start(target, plan.map.image_size(), plan.map.segments(), control)?;
        Ok(Self { plan, output, threads: threads.clamp(1, THREADS), control: control.clone() })
    }

    /// Copies what local images have. To be called once, at any time.
    pub fn copy_local(&self) -> Result<(), PackedError> {
        for run in &self.plan.runs {
            if let Some(local) = self.plan.images.get(run.image) {
                self.output.copy(&local.image, run.from, run.to, run.length)?;
            }
        }
        Ok(())
    }

    /// Takes all planned frames of a pack from a file that is the pack, or has its planned ranges in their places.
    pub fn add_pack(&self, pack: usize, file: &File) -> Result<(), PackedError> {
        let planned = self.plan.packs.iter().find(|planned| planned.pack == pack);
        let planned = planned.ok_or_else(|| not_planned(pack))?;
        self.add_frames(pack, &planned.frames, file)
    }

    /// Takes some frames of a pack, for instance those of a range that has arrived.
    pub fn add_frames(&self, pack: usize, frames: &[u32], file: &File) -> Result<(), PackedError> {
        let described = self.plan.map.packs().get(pack).ok_or_else(|| not_planned(pack))?;
        let places = places(described, self.plan.map.base(pack), frames)?;
        let worker = || Worker { decoder: Decoder::new(), stored: Vec::new(), plain: Vec::new() };
        let source = Intake { assembler: self, file, pack: described };
        parallel::each(self.threads, &self.control, &places, worker, |worker, place| {
            source.take(place, worker)
        })
    }

    /// Checks that every block came and that the whole is right. Only after this the image may be used.
    pub fn finish(&self) -> Result<(), PackedError> {
        let found = self.output.finish()?;
        let expected = self.plan.map.image_digest();
        if found == *expected {
            return Ok(());
        }
        Err(PackedError::WrongImage { expected: expected.clone(), found })
    }
}

fn not_planned(pack: usize) -> PackedError {
    PackedError::NotPlanned { subject: format!("pack {pack}") }
}

fn places<'a>(pack: &'a Pack, base: u32, wanted: &[u32]) -> Result<Vec<Place<'a>>, PackedError> {
    let mut places = Vec::with_capacity(pack.frames.len().min(wanted.len()));
    let (mut offset, mut address) = (0, base);
    let mut wanted = wanted.iter().copied().peekable();
    for (number, frame) in (0..).zip(&pack.frames) {
        if wanted.next_if_eq(&number).is_some() {
            places.push(Place { number, frame, offset, address });
        }
        offset += u64::from(frame.stored);
        address += frame.blocks;
    }
    match wanted.next() {
        None => Ok(places),
        Some(number) => {
            Err(PackedError::NotPlanned { subject: format!("frame {number} of {}", pack.digest) })
        }
    }
}

/// What one thread keeps from frame to frame.
struct Worker {
    decoder: Decoder,
    stored: Vec<u8>,
    plain: Vec<u8>,
}

/// A pack being taken in.
struct Intake<'a> {
    assembler: &'a Assembler,
    file: &'a File,
    pack: &'a Pack,
}

impl Intake<'_> {
    fn take(&self, place: &Place<'_>, worker: &mut Worker) -> Result<(), PackedError> {
        let Worker { decoder, stored, plain } = worker;
        let damaged = |finding| PackedError::Frame {
            container: format!("pack {}", self.pack.digest),
            frame: place.number as usize,
            finding,
        };
        stored.resize(place.frame.stored as usize, 0);
        plain.resize(place.frame.plain(), 0);
        let read = self.file.read_exact_at(stored, place.offset);
        read.map_err(PackedError::read(format!("pack {}", self.pack.digest)))?;
        decoder.decode(stored, plain).map_err(damaged)?;
        if sha256::of(plain) != place.frame.sha256 {
            return Err(damaged("its content's SHA-256 is another than the map's".to_owned()));
        }
        let end = place.address + place.frame.blocks;
        for piece in between(&self.assembler.plan.pieces, place.address, end) {
            let start = (piece.source - place.address) as usize * BLOCK;
            let bytes = plain.get(start..start + piece.length as usize * BLOCK).unwrap_or_default();
            self.assembler.output.write(piece.target, bytes)?;
            self.assembler.control.tell(Step::Decoded(bytes.len() as u64));
        }
        Ok(())
    }
}
