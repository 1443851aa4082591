//! The image being written: blocks arrive in any order, the digest follows behind.
//!
//! A thread hashes what lies before the first block that is still missing, while later frames are decoded. So the
//! whole image is read back from memory, not from disk, and its digest is there soon after the last block. It also has
//! what it hashed written to the disk, so that the caller's flush has little left to do.
//!
//! Invariant: a block counts as written once; what no segment covers is a hole, because the file was empty.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use port_content::flusher::Flusher;
use port_content::hashing::Hasher;
use port_content::sparse;
use port_model::Digest;

use crate::blocks::Blocks;
use crate::limit::BLOCK;
use crate::map::blocks_of;
use crate::segments::Segment;
use crate::{Control, PackedError, Step};

/// What is hashed between two looks at the frontier, in bytes.
const STEP: u64 = 1024 * 1024;
/// How far the frontier must be ahead before the hashing thread wakes, in blocks.
const AHEAD: u32 = 256;

/// Digest of an image that lies complete.
pub(crate) fn digest(blocks: Blocks<'_>, file: &File, control: &Control) -> Result<Digest, PackedError> {
    let mut hashing = Hashing::new(blocks.size());
    hashing.advance(file, blocks.size(), control)?;
    Ok(hashing.hasher.finish())
}

struct Hashing {
    hasher: Hasher,
    size: u64,
    zeros: Vec<u8>,
    buffer: Vec<u8>,
}

impl Hashing {
    fn new(size: u64) -> Self {
        let buffer = || vec![0; size.min(STEP / 4) as usize];
        Self { hasher: Hasher::default(), size, zeros: buffer(), buffer: buffer() }
    }

    /// Hashes up to `end`; holes are hashed without being read.
    fn advance(&mut self, file: &File, end: u64, control: &Control) -> Result<(), PackedError> {
        let failed = || PackedError::read("the image");
        let end = end.min(self.size);
        while self.hasher.size() < end {
            control.check()?;
            let position = self.hasher.size();
            let found = sparse::next_data(file, position, end).map_err(failed())?;
            let (start, stop) = found.unwrap_or((end, end));
            let start = start.min(end);
            self.zeros(start - position, control)?;
            let stop = stop.min(end).min(start + STEP);
            while self.hasher.size() < stop {
                let at = self.hasher.size();
                let count = ((stop - at) as usize).min(self.buffer.len());
                let Some(part) = self.buffer.get_mut(..count) else { break };
                file.read_exact_at(part, at).map_err(failed())?;
                self.hasher.update(part);
            }
            control.tell(Step::Hashed(self.hasher.size() - position));
        }
        Ok(())
    }

    fn zeros(&mut self, mut count: u64, control: &Control) -> Result<(), PackedError> {
        while count > 0 {
            control.check()?;
            let part = (count as usize).min(self.zeros.len());
            self.hasher.update(self.zeros.get(..part).unwrap_or_default());
            count -= part as u64;
        }
        Ok(())
    }
}

/// A target file that is filled from many threads.
#[derive(Debug)]
pub(crate) struct Output {
    target: File,
    size: u64,
    control: Control,
    shared: Arc<Shared>,
    hashing: Mutex<Option<JoinHandle<Result<Digest, PackedError>>>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A bit for each block that is written or zero.
    done: Vec<u64>,
    blocks: u32,
    /// The first block that is not.
    frontier: u32,
    missing: u64,
    /// Nothing more will come.
    closed: bool,
}

impl Output {
    /// Takes an empty file, gives it its size and waits for the blocks of `segments`.
    pub(crate) fn start(
        target: &File,
        size: u64,
        segments: &[Segment],
        control: &Control,
    ) -> Result<Self, PackedError> {
        let failed = || PackedError::write("the image");
        let found = target.metadata().map_err(failed())?.len();
        if found != 0 {
            return Err(PackedError::NotEmpty { found });
        }
        target.set_len(size).map_err(failed())?;
        let shared = Arc::new(Shared { state: Mutex::new(State::new(size, segments)), ..Shared::default() });
        let (file, own) = (target.try_clone().map_err(failed())?, Arc::clone(&shared));
        let watch = control.clone();
        let hashing = thread::spawn(move || follow(&file, size, &own, &watch));
        Ok(Self {
            target: target.try_clone().map_err(failed())?,
            size,
            control: control.clone(),
            shared,
            hashing: Mutex::new(Some(hashing)),
        })
    }

    /// Writes whole blocks, which were verified; the last block of the image is cut to its size.
    pub(crate) fn write(&self, block: u32, bytes: &[u8]) -> Result<(), PackedError> {
        let start = u64::from(block) * BLOCK as u64;
        let inside = usize::try_from(self.size.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes.len());
        let part = bytes.get(..inside).unwrap_or_default();
        self.target.write_all_at(part, start).map_err(PackedError::write("the image"))?;
        self.shared.mark(block, (bytes.len() / BLOCK) as u32);
        Ok(())
    }

    /// Copies a run of blocks from another image, sharing them where the file system can.
    pub(crate) fn copy(&self, source: &File, from: u32, to: u32, length: u32) -> Result<(), PackedError> {
        self.control.check()?;
        let place = |block: u32| u64::from(block) * BLOCK as u64;
        let there = source.metadata().map_err(PackedError::read("a local image"))?.len();
        // Beyond the end of either image is nothing but zeros, which the target has already.
        let inside = there.saturating_sub(place(from)).min(self.size.saturating_sub(place(to)));
        let bytes = place(length).min(inside);
        sparse::copy_range(source, place(from), &self.target, place(to), bytes)
            .map_err(PackedError::copy("the image"))?;
        self.control.tell(Step::Copied(bytes));
        self.shared.mark(to, length);
        Ok(())
    }

    /// Waits for the digest. Blocks that never came are an error.
    pub(crate) fn finish(&self) -> Result<Digest, PackedError> {
        let (missing, first) = {
            let mut state = self.shared.lock();
            state.closed = true;
            (state.missing, u64::from(state.frontier))
        };
        self.shared.moved.notify_all();
        let hashing = self.hashing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let result = hashing.map(JoinHandle::join);
        if missing > 0 {
            return Err(PackedError::Incomplete { missing, first });
        }
        match result {
            Some(Ok(result)) => result,
            _ => Err(PackedError::Cancelled),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Ends the thread; a digest that nobody asks for is of no interest.
        self.shared.lock().closed = true;
        self.shared.moved.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, block: u32, length: u32) {
        let moved = {
            let mut state = self.lock();
            let before = state.frontier;
            state.mark(block, length);
            state.frontier != before
        };
        if moved {
            self.moved.notify_all();
        }
    }
}

impl State {
    fn new(size: u64, segments: &[Segment]) -> Self {
        let blocks = blocks_of(size);
        let done = vec![u64::MAX; blocks.div_ceil(64) as usize];
        let mut state = Self { done, blocks, frontier: 0, missing: 0, closed: false };
        for segment in segments {
            for block in segment.target..segment.end().min(blocks) {
                state.flip(block, false);
            }
        }
        state.advance();
        state
    }

    /// Sets a block's bit; whether that changed it.
    fn flip(&mut self, block: u32, done: bool) {
        let Some(word) = self.done.get_mut((block / 64) as usize) else { return };
        let bit = 1 << (block % 64);
        match (*word & bit != 0, done) {
            (false, true) => self.missing -= 1,
            (true, false) => self.missing += 1,
            _ => {}
        }
        if done { *word |= bit } else { *word &= !bit }
    }

    fn mark(&mut self, block: u32, length: u32) {
        for block in block..block.saturating_add(length).min(self.blocks) {
            self.flip(block, true);
        }
        self.advance();
    }

    fn advance(&mut self) {
        while self.frontier < self.blocks {
            let word = self.done.get((self.frontier / 64) as usize).copied().unwrap_or_default();
            let ahead = (word >> (self.frontier % 64)).trailing_ones().min(64 - self.frontier % 64);
            if ahead == 0 {
                return;
            }
            self.frontier = (self.frontier + ahead).min(self.blocks);
        }
    }
}

/// Hashes behind the frontier until the end, or until nothing more comes.
fn follow(file: &File, size: u64, shared: &Shared, control: &Control) -> Result<Digest, PackedError> {
    let failed = || PackedError::write("the image");
    let mut flusher = Flusher::start(file).map_err(failed())?;
    let mut hashing = Hashing::new(size);
    let mut done = 0;
    loop {
        let (frontier, complete) = {
            let mut state = shared.lock();
            while !state.closed
                && state.frontier < state.blocks
                && state.frontier.saturating_sub(done) < AHEAD
            {
                state = shared.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closed && state.missing > 0 {
                return Err(PackedError::Cancelled);
            }
            (state.frontier, state.frontier == state.blocks)
        };
        let end = if complete { size } else { u64::from(frontier) * BLOCK as u64 };
        flusher.written(u64::from(frontier - done) * BLOCK as u64);
        hashing.advance(file, end, control)?;
        done = frontier;
        if complete {
            flusher.finish().map_err(failed())?;
            return Ok(hashing.hasher.finish());
        }
    }
}
