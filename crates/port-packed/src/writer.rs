//! New blocks to packs: frames are compressed on all threads, packs are cut and handed out in order.

use port_content::hashing::Hasher;

use crate::blocks::Blocks;
use crate::frame::Encoder;
use crate::limit::{BLOCK, PACK_BYTES};
use crate::map::{Frame, Pack};
use crate::parallel::Pool;
use crate::{Control, Options, PackSink, PackedError, Step, parallel, sha256};

/// What a frame is made of: runs of image blocks.
pub(crate) type Runs = Vec<(u32, u32)>;

/// Groups runs into frames of `most` blocks each; only the last may have fewer.
pub(crate) fn frames_of(runs: &[(u32, u32)], most: u32) -> impl Iterator<Item = Runs> + '_ {
    let mut rest = runs.iter().copied();
    let mut open: Option<(u32, u32)> = None;
    std::iter::from_fn(move || {
        let mut frame = Vec::new();
        let mut room = most;
        while room > 0 {
            let Some((first, length)) = open.take().or_else(|| rest.next()) else { break };
            let taken = length.min(room);
            frame.push((first, taken));
            room -= taken;
            open = (taken < length).then(|| (first + taken, length - taken));
        }
        (!frame.is_empty()).then_some(frame)
    })
}

/// Reads the runs of a frame one after the other into `plain`.
pub(crate) fn gather(image: Blocks<'_>, runs: &[(u32, u32)], plain: &mut Vec<u8>) -> Result<(), PackedError> {
    let total: usize = runs.iter().map(|(_, length)| *length as usize * BLOCK).sum();
    plain.resize(total, 0);
    let mut rest = plain.as_mut_slice();
    for &(first, length) in runs {
        let (part, behind) = rest.split_at_mut(length as usize * BLOCK);
        image.read(first, part)?;
        rest = behind;
    }
    Ok(())
}

/// Compresses `runs` and writes packs of `generation`; returns them.
pub(crate) fn write_packs(
    image: Blocks<'_>,
    runs: &[(u32, u32)],
    generation: u32,
    options: &Options,
    control: &Control,
    sink: &mut dyn PackSink,
) -> Result<Vec<Pack>, PackedError> {
    let mut writer = Writer { sink, generation, limit: options.pack_bytes, open: None, packs: Vec::new() };
    let pool = Pool::default();
    let state = || Ok((Encoder::new(options.level)?, Vec::new()));
    let compress = |(encoder, plain): &mut (Encoder, Vec<u8>), runs: Runs| {
        gather(image, &runs, plain)?;
        let mut stored = pool.take();
        encoder.encode_into(plain, &mut stored)?;
        Ok((stored, plain.len(), sha256::of(plain)))
    };
    let jobs = frames_of(runs, options.frame_blocks);
    parallel::ordered(options.threads, control, jobs, state, compress, |(stored, plain, sha256)| {
        control.tell(Step::Compressed { plain: plain as u64, stored: stored.len() as u64 });
        writer.add(&stored, (plain / BLOCK) as u32, sha256)?;
        pool.give(stored);
        Ok(())
    })?;
    writer.close()?;
    Ok(writer.packs)
}

struct Writer<'a> {
    sink: &'a mut dyn PackSink,
    generation: u32,
    limit: u64,
    open: Option<(Hasher, Vec<Frame>)>,
    packs: Vec<Pack>,
}

impl Writer<'_> {
    fn add(&mut self, stored: &[u8], blocks: u32, sha256: [u8; 32]) -> Result<(), PackedError> {
        let length = stored.len() as u64;
        if self.open.as_ref().is_some_and(|(hasher, _)| hasher.size() + length > self.limit) {
            self.close()?;
        }
        let failed = PackedError::write("a pack");
        let (hasher, frames) = match &mut self.open {
            Some(open) => open,
            closed => {
                self.sink.begin().map_err(PackedError::write("a pack"))?;
                closed.insert((Hasher::default(), Vec::new()))
            }
        };
        self.sink.write(stored).map_err(failed)?;
        hasher.update(stored);
        let stored = u32::try_from(length).map_err(|_| PackedError::TooLarge {
            subject: "a frame",
            limit: PACK_BYTES,
            found: length,
        })?;
        frames.push(Frame { stored, blocks, sha256 });
        Ok(())
    }

    fn close(&mut self) -> Result<(), PackedError> {
        let Some((hasher, frames)) = self.open.take() else { return Ok(()) };
        let pack = Pack { digest: hasher.finish(), generation: self.generation, frames };
        // Equal packs cannot be told apart by digest. Deduplicated blocks make equal packs impossible within one map.
        self.sink.finish(&pack).map_err(PackedError::write("a pack"))?;
        self.packs.push(pack);
        Ok(())
    }
}
