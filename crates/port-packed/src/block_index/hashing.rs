//! Making an index: one reading of the image's data, blocks hashed on all cores, the whole hashed behind them.

use std::fs::File;

use port_content::hashing::Hasher;
use port_content::sparse;
use port_model::Digest;

use super::{BlockIndex, BlockSha, Run, hash_of};
use crate::blocks::{Blocks, cut};
use crate::limit::{BLOCK, INDEXED_BLOCKS};
use crate::matching::is_zero;
use crate::{Control, PackedError, Step, parallel};

/// Blocks that one thread reads and hashes at once: 1 MiB.
const CHUNK: u32 = 256;

/// Blocks that were read together, each with its hash; `None` where it is zero.
pub(super) struct Chunk {
    first: u32,
    bytes: Vec<u8>,
    hashes: Vec<Option<BlockSha>>,
}

impl Chunk {
    /// Number and hash of each block that is not zero.
    pub(super) fn data(&self) -> impl Iterator<Item = (u32, &BlockSha)> {
        (self.first..).zip(&self.hashes).filter_map(|(block, hash)| Some((block, hash.as_ref()?)))
    }
}

/// Reads and hashes the data of an image, in order.
pub(super) fn scan(
    image: Blocks<'_>,
    threads: usize,
    control: &Control,
    mut visit: impl FnMut(&Chunk) -> Result<(), PackedError>,
) -> Result<(), PackedError> {
    let runs = image.data_runs()?;
    let read = |(): &mut (), (first, count): (u32, u32)| {
        let mut bytes = vec![0; count as usize * BLOCK];
        image.read(first, &mut bytes)?;
        let hash = |block: &[u8]| (!is_zero(block)).then(|| hash_of(block));
        let hashes = bytes.chunks_exact(BLOCK).map(hash).collect();
        Ok(Chunk { first, bytes, hashes })
    };
    let take = |chunk: Chunk| {
        control.tell(Step::Scanned(chunk.bytes.len() as u64));
        visit(&chunk)
    };
    parallel::ordered(threads, control, cut(&runs, CHUNK), || Ok(()), read, take)
}

impl BlockIndex {
    /// The index of an image; `None` where it has more data than an index may describe.
    ///
    /// With `digest` the image is not hashed as a whole: the caller vouches for it, or checks what comes of it.
    pub fn of(
        file: &File,
        digest: Option<&Digest>,
        threads: usize,
        control: &Control,
    ) -> Result<Option<Self>, PackedError> {
        let image = Blocks::open(file, "the image")?;
        let mut whole = digest.is_none().then(|| Whole::new(image.size()));
        let mut runs: Vec<Run> = Vec::new();
        // Growing would need three times as much for a moment.
        let data = sparse::data_bytes(file).map_err(PackedError::read("the image"))?.div_ceil(BLOCK as u64);
        let mut hashes: Vec<BlockSha> = Vec::with_capacity(data.min(u64::from(INDEXED_BLOCKS)) as usize);
        let mut fits = true;
        scan(image, threads, control, |chunk| {
            if let Some(whole) = &mut whole {
                whole.take(chunk);
            }
            for (block, hash) in chunk.data() {
                if hashes.len() == INDEXED_BLOCKS as usize {
                    fits = false;
                    break;
                }
                let place = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
                match runs.last_mut() {
                    Some(run) if run.end() == block => run.length += 1,
                    _ => runs.push(Run { first: block, length: 1, place }),
                }
                hashes.push(*hash);
            }
            Ok(())
        })?;
        let digest = match (digest, whole) {
            (Some(digest), _) => digest.clone(),
            (None, whole) => whole.unwrap_or_else(|| Whole::new(image.size())).finish(),
        };
        Ok(fits.then_some(Self { size: image.size(), digest, runs, hashes }))
    }
}

/// The digest of the whole image, holes included.
struct Whole {
    size: u64,
    hasher: Hasher,
    zeros: Vec<u8>,
}

impl Whole {
    fn new(size: u64) -> Self {
        Self { size, hasher: Hasher::default(), zeros: vec![0; CHUNK as usize * BLOCK] }
    }

    fn take(&mut self, chunk: &Chunk) {
        self.zeros_to(u64::from(chunk.first) * BLOCK as u64);
        let left = usize::try_from(self.size - self.hasher.size()).unwrap_or(usize::MAX);
        let padded = chunk.bytes.len();
        self.hasher.update(chunk.bytes.get(..left.min(padded)).unwrap_or_default());
    }

    fn zeros_to(&mut self, end: u64) {
        while self.hasher.size() < end {
            let left = usize::try_from(end - self.hasher.size()).unwrap_or(usize::MAX);
            let count = left.min(self.zeros.len());
            self.hasher.update(self.zeros.get(..count).unwrap_or_default());
        }
    }

    fn finish(mut self) -> Digest {
        self.zeros_to(self.size);
        self.hasher.finish()
    }
}
