//! Makes a delta: matches the image with the parent, compresses what is new against the parent's neighbourhood.
//!
//! Frames go to a scratch file first, because the index stands before them and needs their lengths.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::thread;

use port_content::hashing::{BUFFER, Hasher};
use port_model::Digest;

use super::references::{Neighbours, choose};
use super::{DeltaFrame, Index, Known};
use crate::blocks::{AtRest, Blocks};
use crate::limit::{BLOCK, DELTA_BYTES, FRAME_BLOCKS, REFERENCE_BLOCKS, THREADS};
use crate::map::Frame;
use crate::matching::{Context, ParentIndex, match_blocks};
use crate::pack::Builder;
use crate::table::BlockHash;
use crate::writer::{Runs, frames_of, gather};
use crate::{Control, PackedError, Step, envelope, frame, parallel, sha256};

/// How to make a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The zstd level, 1 to 19.
    pub level: i32,
    /// Blocks in a frame, 1 to [`FRAME_BLOCKS`].
    pub frame_blocks: u32,
    /// Blocks of the parent that a frame may refer to, at most [`REFERENCE_BLOCKS`].
    pub reference_blocks: u32,
    /// Threads, 1 to [`THREADS`]; has no influence on the result.
    pub threads: usize,
    /// Give up when the whole delta takes more bytes than this: packs would be as good.
    pub limit: u64,
}

impl Default for Options {
    /// Chosen by measurement: docs/formats/packed-image.md, "Choices". Few threads, because each takes 16 MB.
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(3);
        Self { level: 9, frame_blocks: 256, reference_blocks: 512, threads, limit: DELTA_BYTES }
    }
}

impl Options {
    fn check(&self) -> Result<(), PackedError> {
        for (option, found, low, high) in [
            ("level", u64::try_from(self.level).unwrap_or(0), 1, 19),
            ("frame_blocks", u64::from(self.frame_blocks), 1, u64::from(FRAME_BLOCKS)),
            ("reference_blocks", u64::from(self.reference_blocks), 0, u64::from(REFERENCE_BLOCKS)),
            ("threads", self.threads as u64, 1, THREADS as u64),
            ("limit", self.limit, 0, DELTA_BYTES),
        ] {
            if !(low..=high).contains(&found) {
                return Err(PackedError::Option { option, expected: format!("{low} to {high}"), found });
            }
        }
        Ok(())
    }
}

/// A delta that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
    /// Of that, what stands before the frames.
    pub index_size: u64,
    /// Blocks in its frames.
    pub blocks: u64,
}

/// Writes the delta from `parent` to `target` to `out`; `scratch` is an empty file for the meantime.
///
/// `None` where it would be larger than the limit; then nothing was written to `out`.
pub fn encode(
    parent: Known<'_>,
    target: Known<'_>,
    scratch: &File,
    out: &mut dyn Write,
    options: &Options,
    control: &Control,
) -> Result<Option<Delta>, PackedError> {
    options.check()?;
    let old = Blocks::open(parent.file, "the parent image")?;
    let image = Blocks::open(target.file, "the image")?;
    let rest = [AtRest::of(parent.file, "the parent image")?, AtRest::of(target.file, "the image")?];
    let built = matched(old, image, options, control)?;
    let blocks = built.statistics.new;
    let segments = built.segments.finish();
    let work =
        Work { old, image, new: &built.new, neighbours: Neighbours::new(&segments, &built.new, old.count()) };
    let Some(frames) = work.write_frames(scratch, options, control)? else { return Ok(None) };
    rest.iter().try_for_each(AtRest::check)?;
    let index = Index {
        parent_size: old.size(),
        parent_digest: parent.digest.clone(),
        target_size: image.size(),
        target_digest: target.digest.clone(),
        frames,
        segments,
    };
    let body = index.body()?;
    // What was collected here is checked as what came from outside is.
    if Index::from_body(&body)? != index {
        return Err(PackedError::Malformed {
            document: envelope::DELTA.name,
            finding: "it does not read back as it was written".to_owned(),
        });
    }
    let head = envelope::seal(envelope::DELTA, &body)?;
    if head.len() as u64 + index.frames_size() > options.limit {
        return Ok(None);
    }
    let (digest, size) =
        join(&head, scratch, index.frames_size(), out).map_err(PackedError::write("the delta"))?;
    Ok(Some(Delta { digest, size, index_size: head.len() as u64, blocks }))
}

fn matched(
    old: Blocks<'_>,
    image: Blocks<'_>,
    options: &Options,
    control: &Control,
) -> Result<Builder, PackedError> {
    let hash = BlockHash::default();
    let context = Context { hash: &hash, threads: options.threads, control };
    let index = ParentIndex::build(context, old, &|_| true, &mut |_| true)?;
    let mut builder = Builder::new(old.count());
    match_blocks(context, image, Some(&index), |block, origin| builder.add(block, origin, Some))?;
    Ok(builder)
}

struct Work<'a> {
    old: Blocks<'a>,
    image: Blocks<'a>,
    new: &'a Runs,
    neighbours: Neighbours,
}

impl Work<'_> {
    fn write_frames(
        &self,
        scratch: &File,
        options: &Options,
        control: &Control,
    ) -> Result<Option<Vec<DeltaFrame>>, PackedError> {
        let data = self.old.data_runs()?;
        let compress = |(plain, reference): &mut (Vec<u8>, Vec<u8>), runs: Runs| {
            let references = choose(&self.neighbours.of(&runs), &data, options.reference_blocks);
            gather(self.image, &runs, plain)?;
            gather(self.old, &references, reference)?;
            let stored = frame::encode_with_reference(plain, reference, options.level)?;
            let blocks = (plain.len() / BLOCK) as u32;
            let frame = Frame { stored: stored.len() as u32, blocks, sha256: sha256::of(plain) };
            Ok((stored, DeltaFrame { frame, references }))
        };
        let (mut frames, mut size, mut too_large) = (Vec::new(), 0, false);
        let jobs = frames_of(self.new, options.frame_blocks);
        let state = || Ok((Vec::new(), Vec::new()));
        let result = parallel::ordered(options.threads, control, jobs, state, compress, |(stored, frame)| {
            let (plain, length) = (frame.frame.plain() as u64, stored.len() as u64);
            control.tell(Step::Compressed { plain, stored: length });
            if size + length > options.limit {
                too_large = true;
                return Err(PackedError::Cancelled);
            }
            scratch.write_all_at(&stored, size).map_err(PackedError::write("a scratch file"))?;
            size += length;
            frames.push(frame);
            Ok(())
        });
        if too_large {
            return Ok(None);
        }
        result.map(|()| Some(frames))
    }
}

/// Writes the head and `size` bytes of the scratch file; returns digest and length of both.
fn join(head: &[u8], scratch: &File, size: u64, out: &mut dyn Write) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::default();
    out.write_all(head)?;
    hasher.update(head);
    let mut buffer = vec![0; BUFFER];
    let mut position = 0;
    while position < size {
        let count = usize::try_from(size - position).unwrap_or(usize::MAX).min(BUFFER);
        let Some(part) = buffer.get_mut(..count) else { break };
        scratch.read_exact_at(part, position)?;
        out.write_all(part)?;
        hasher.update(part);
        position += count as u64;
    }
    let length = hasher.size();
    Ok((hasher.finish(), length))
}
