//! Where each block of an image is already known from: the parent image, the image itself, or nowhere.
//!
//! Threads read and hash; one thread looks up in image order, so the outcome is the same for any number of them.
//! Invariant: two blocks count as equal only after their bytes were compared.

use crate::blocks::{Blocks, cut};
use crate::limit::BLOCK;
use crate::parallel::Pool;
use crate::table::{BlockHash, Table};
use crate::{Control, PackedError, Step, parallel};

/// Blocks that one thread reads and hashes at once: 256 KiB. Larger showed no gain and costs memory for each thread.
const CHUNK: u32 = 64;
/// Blocks read at once to compare: matches run on, so the next comparison finds its bytes in memory.
const WINDOW: u32 = 16;

/// Where a block that is not zero can be had from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Equal to this block of the parent image.
    Parent(u32),
    /// Equal to this earlier block of the image, which was new.
    Own(u32),
    /// Seen for the first time.
    New,
}

/// What all steps of one matching share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) hash: &'a BlockHash,
    pub(crate) threads: usize,
    pub(crate) control: &'a Control,
}

/// The blocks of a parent image, findable by content.
pub(crate) struct ParentIndex<'a> {
    blocks: Blocks<'a>,
    usable: &'a dyn Fn(u32) -> bool,
    table: Table,
}

impl<'a> ParentIndex<'a> {
    /// Reads the parent once. `usable` says which of its blocks may be referred to; `wanted` which of those may need an
    /// entry. Equal blocks have one: thousands of the same would make each look-up a walk over all of them.
    pub(crate) fn build(
        context: Context<'_>,
        blocks: Blocks<'a>,
        usable: &'a dyn Fn(u32) -> bool,
        wanted: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Self, PackedError> {
        let data = blocks.data_runs()?.iter().map(|(_, length)| u64::from(*length)).sum();
        let mut table = Table::with_room(data);
        let mut window = Window::new(blocks);
        scan(context, blocks, |chunk| {
            for (block, hash, bytes) in chunk.data() {
                if wanted(block) && table.find(hash, |known| window.equals(known, bytes))?.is_none() {
                    table.insert(hash, block);
                }
            }
            Ok(())
        })?;
        Ok(Self { blocks, usable, table })
    }
}

/// Tells the origin of every block that is not zero, in image order.
pub(crate) fn match_blocks(
    context: Context<'_>,
    image: Blocks<'_>,
    parent: Option<&ParentIndex<'_>>,
    mut take: impl FnMut(u32, Origin) -> Result<(), PackedError>,
) -> Result<(), PackedError> {
    let mut matcher = Matcher {
        parent: parent.map(|index| (index, Window::new(index.blocks))),
        own: Table::new(),
        own_window: Window::new(image),
        expected: None,
    };
    scan(context, image, |chunk| {
        for (block, hash, bytes) in chunk.data() {
            take(block, matcher.origin(block, hash, bytes)?)?;
        }
        Ok(())
    })
}

struct Matcher<'a> {
    parent: Option<(&'a ParentIndex<'a>, Window<'a>)>,
    own: Table,
    own_window: Window<'a>,
    /// The image's next block and the parent's block that would continue the run.
    expected: Option<(u32, u32)>,
}

impl Matcher<'_> {
    fn origin(&mut self, block: u32, hash: u32, bytes: &[u8]) -> Result<Origin, PackedError> {
        if let Some(found) = self.in_parent(block, hash, bytes)? {
            self.expected = Some((block + 1, found + 1));
            return Ok(Origin::Parent(found));
        }
        let window = &mut self.own_window;
        match self.own.find(hash, |earlier| window.equals(earlier, bytes))? {
            Some(earlier) => Ok(Origin::Own(earlier)),
            None => {
                self.own.insert(hash, block);
                Ok(Origin::New)
            }
        }
    }

    /// The block that continues the run is tried first: runs stay long where blocks have copies.
    fn in_parent(&mut self, block: u32, hash: u32, bytes: &[u8]) -> Result<Option<u32>, PackedError> {
        let Some((index, window)) = &mut self.parent else { return Ok(None) };
        if let Some((_, next)) = self.expected.filter(|(at, _)| *at == block)
            && next < index.blocks.count()
            && (index.usable)(next)
            && window.equals(next, bytes)?
        {
            return Ok(Some(next));
        }
        index.table.find(hash, |candidate| window.equals(candidate, bytes))
    }
}

/// Some blocks of an image in memory, to compare with.
struct Window<'a> {
    blocks: Blocks<'a>,
    first: Option<u32>,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(blocks: Blocks<'a>) -> Self {
        Self { blocks, first: None, buffer: vec![0; WINDOW as usize * BLOCK] }
    }

    fn equals(&mut self, block: u32, bytes: &[u8]) -> Result<bool, PackedError> {
        let first = block - block % WINDOW;
        if self.first != Some(first) {
            self.first = None;
            self.blocks.read(first, &mut self.buffer)?;
            self.first = Some(first);
        }
        let start = (block - first) as usize * BLOCK;
        Ok(self.buffer.get(start..start + BLOCK) == Some(bytes))
    }
}

/// Blocks that were read together, each with its hash; `None` where it is zero.
struct Chunk {
    first: u32,
    bytes: Vec<u8>,
    hashes: Vec<Option<u32>>,
}

impl Chunk {
    /// Number, hash and bytes of each block that is not zero.
    fn data(&self) -> impl Iterator<Item = (u32, u32, &[u8])> {
        let blocks = (self.first..).zip(&self.hashes).zip(self.bytes.chunks_exact(BLOCK));
        blocks.filter_map(|((block, hash), bytes)| hash.map(|hash| (block, hash, bytes)))
    }
}

fn scan(
    context: Context<'_>,
    image: Blocks<'_>,
    mut visit: impl FnMut(&Chunk) -> Result<(), PackedError>,
) -> Result<(), PackedError> {
    let runs = image.data_runs()?;
    let pool = Pool::default();
    let read = |(): &mut (), (first, count): (u32, u32)| {
        let mut bytes = pool.take();
        bytes.resize(count as usize * BLOCK, 0);
        image.read(first, &mut bytes)?;
        let hash = |block: &[u8]| (!is_zero(block)).then(|| context.hash.of(block));
        let hashes = bytes.chunks_exact(BLOCK).map(hash).collect();
        Ok(Chunk { first, bytes, hashes })
    };
    let jobs = cut(&runs, CHUNK);
    parallel::ordered(
        context.threads,
        context.control,
        jobs,
        || Ok(()),
        read,
        |chunk| {
            context.control.tell(Step::Scanned(chunk.bytes.len() as u64));
            visit(&chunk)
        },
    )
}

/// Whether a block holds nothing; eight bytes at a time, leaving at the first that does.
pub(crate) fn is_zero(block: &[u8]) -> bool {
    block.chunks(64).all(|part| part.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    fn file(blocks: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = blocks.iter().flat_map(|byte| [*byte; BLOCK]).collect();
        file.write_all_at(&bytes, 0).unwrap();
        file
    }

    fn origins(weak: bool, old: &[u8], new: &[u8]) -> Vec<(u32, Origin)> {
        let hash = BlockHash::of_strength(weak);
        let control = Control::default();
        let context = Context { hash: &hash, threads: 2, control: &control };
        let (old, new) = (file(old), file(new));
        let parent = Blocks::open(&old, "the parent image").unwrap();
        let index = ParentIndex::build(context, parent, &|_| true, &mut |_| true).unwrap();
        let mut found = Vec::new();
        let image = Blocks::open(&new, "the image").unwrap();
        match_blocks(context, image, Some(&index), |block, origin| {
            found.push((block, origin));
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn a_collision_is_never_a_match() {
        let old: Vec<u8> = vec![1, 2, 3, 0, 4, 2, 5];
        let new: Vec<u8> = vec![4, 9, 0, 3, 9, 8, 5, 1, 7, 8];
        let expected = vec![
            (0, Origin::Parent(4)),
            (1, Origin::New),
            (3, Origin::Parent(2)),
            (4, Origin::Own(1)),
            (5, Origin::New),
            (6, Origin::Parent(6)),
            (7, Origin::Parent(0)),
            (8, Origin::New),
            (9, Origin::Own(5)),
        ];
        assert_eq!(origins(true, &old, &new), expected);
        assert_eq!(origins(false, &old, &new), expected);
    }

    #[test]
    fn equal_blocks_of_the_parent_have_one_entry() {
        for weak in [true, false] {
            let hash = BlockHash::of_strength(weak);
            let control = Control::default();
            let context = Context { hash: &hash, threads: 2, control: &control };
            let old = file(&[[0xff; 300].as_slice(), &[0, 3, 3], &[0xff; 300], &[4]].concat());
            let parent = Blocks::open(&old, "the parent image").unwrap();
            let index = ParentIndex::build(context, parent, &|_| true, &mut |_| true).unwrap();
            assert_eq!(index.table.len(), 3, "0xff, 3 and 4");
        }
    }

    #[test]
    fn a_run_goes_on_where_blocks_have_copies() {
        let old = [1, 2, 3, 9, 2, 3, 4];
        let expected = vec![(0, Origin::Parent(3)), (1, Origin::Parent(4)), (2, Origin::Parent(5))];
        assert_eq!(origins(true, &old, &[9, 2, 3]), expected);
    }
}
