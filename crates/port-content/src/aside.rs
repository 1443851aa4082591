//! Copies past the page cache: for a second file of bytes whose first one is the one that is read.
//!
//! A copy of a gigabyte through the page cache takes a gigabyte of memory that nobody asked for, pushes out what is read, and has
//! still to be flushed. Here a block at a time goes from memory to the disk (`O_DIRECT`), so that a flush at the end finds
//! nothing to write.
//!
//! It is an offer to the file system, not a promise: one that does not take such writes gets ordinary ones, and a [`Flusher`]
//! behind them. Holes stay holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use crate::flusher::Flusher;
use crate::fs::{Context as _, FsError};
use crate::sparse::{self, CopyError};

/// From this size on a copy goes past the page cache, in bytes. Below, the flush is no wait.
pub const LARGE: u64 = 64 * 1024 * 1024;
/// How much goes to the disk at once, in bytes: larger showed little gain.
pub const BLOCK: u64 = 4 * 1024 * 1024;
/// What memory, offsets and lengths must be multiples of: the largest logical block of disks that are made.
const ALIGNMENT: u64 = 4096;

/// Writes an aligned block at an aligned place.
type DirectWrite = fn(&File, &[u8], u64) -> io::Result<()>;

/// Copies ranges of one file to the same places of another one.
#[derive(Debug)]
pub struct Aside<'a> {
    source: &'a File,
    target: &'a File,
    length: u64,
    /// [`BLOCK`] bytes at an aligned place are in here.
    memory: Vec<u8>,
    /// How blocks go past the page cache, as long as the file system takes them so.
    direct: Option<DirectWrite>,
    flusher: Flusher,
}

impl<'a> Aside<'a> {
    /// Will copy from `source` into `target`, which is empty and gets `length` bytes, all of them a hole.
    pub fn start(source: &'a File, target: &'a File, length: u64) -> io::Result<Self> {
        target.set_len(length)?;
        let flusher = Flusher::start(target)?;
        let memory = vec![0; to_size(BLOCK + ALIGNMENT)];
        let direct = (length >= LARGE).then_some(write_direct as DirectWrite);
        Ok(Self { source, target, length, memory, direct, flusher })
    }

    /// Copies `start..end`, except for holes. `start` is a multiple of [`BLOCK`], and so is `end` unless it is the file's.
    pub fn copy(&mut self, start: u64, end: u64) -> Result<(), CopyError> {
        let mut position = start;
        while position < end {
            let run = sparse::next_data(self.source, position, end).map_err(CopyError::Read)?;
            let Some((from, to)) = run else { return Ok(()) };
            // What is read of a hole beside it is zeros, and goes where zeros are.
            position = from - from % ALIGNMENT;
            let to = to.next_multiple_of(ALIGNMENT).min(end);
            while position < to {
                let count = (to - position).min(BLOCK - position % BLOCK);
                self.block(position, count)?;
                position += count;
            }
        }
        Ok(())
    }

    fn block(&mut self, position: u64, count: u64) -> Result<(), CopyError> {
        let first = self.memory.as_ptr().align_offset(to_size(ALIGNMENT));
        let block = self.memory.get_mut(first..first.saturating_add(to_size(count)));
        let block = block.ok_or_else(|| CopyError::Read(io::ErrorKind::InvalidInput.into()))?;
        self.source.read_exact_at(block, position).map_err(CopyError::Read)?;
        let whole = to_size(count - count % ALIGNMENT);
        let (aligned, rest) = block.split_at(whole);
        let written = self.direct.filter(|_| whole > 0).map(|write| write(self.target, aligned, position));
        if matches!(written, Some(Err(_))) {
            // Whatever it was, and however far it got, an ordinary write says it better, or works.
            self.direct = None;
        }
        let (done, left) = if matches!(written, Some(Ok(()))) { (whole, rest) } else { (0, &*block) };
        let at = position + done as u64;
        self.target.write_all_at(left, at).map_err(CopyError::Write)?;
        self.flusher.written(left.len() as u64);
        Ok(())
    }

    /// Forgets what was copied: the source gets other bytes.
    pub fn restart(&mut self) -> io::Result<()> {
        self.target.set_len(0)?;
        self.target.set_len(self.length)
    }

    /// Waits for what is on its way to the disk.
    ///
    /// # Errors
    /// What the disk reported since the start.
    pub fn finish(self) -> io::Result<()> {
        self.flusher.finish()
    }
}

/// Copies all of `source` into the empty file `target`: a reflink where the file system can. Returns the bytes of its length.
///
/// `path` names the copy in errors.
pub fn copy(source: &File, target: &File, path: &Path) -> Result<u64, FsError> {
    let length = source.metadata().context("inspect", path)?.len();
    if length < LARGE {
        return sparse::copy_flushing(source, target, path);
    }
    if sparse::reflink(source, target) {
        return Ok(length);
    }
    let mut aside = Aside::start(source, target, length).context("size", path)?;
    aside.copy(0, length).map_err(io::Error::from).context("copy", path)?;
    aside.finish().context("flush", path)?;
    Ok(length)
}

/// The flag belongs to the open file, so that it is taken back at once: nobody else's reads need be aligned.
fn write_direct(target: &File, block: &[u8], position: u64) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(target)?;
    rustix::fs::fcntl_setfl(target, flags | OFlags::DIRECT)?;
    let written = target.write_all_at(block, position);
    rustix::fs::fcntl_setfl(target, flags)?;
    written
}

/// Sizes of blocks, which fit everywhere.
fn to_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::fs;

    /// Data where blocks begin, end and meet, and at places that are no multiple of anything.
    fn source(directory: &Path, length: u64) -> File {
        let file = fs::create_new(&directory.join("source")).unwrap();
        file.set_len(length).unwrap();
        for (at, byte) in
            [(0, 1), (BLOCK - 1, 2), (BLOCK, 3), (3 * BLOCK + 5000, 4), (length / 2 + 1, 5), (length - 1, 6)]
        {
            file.write_all_at(&[byte; 3][..to_size((length - at).min(3))], at).unwrap();
        }
        file
    }

    #[test]
    fn a_copy_is_the_same_and_keeps_holes() {
        for length in [LARGE - 1, LARGE, LARGE + 1, LARGE + ALIGNMENT, LARGE + BLOCK + 4095] {
            let directory = tempfile::tempdir().unwrap();
            let source = source(directory.path(), length);
            let target = fs::create_new(&directory.path().join("target")).unwrap();
            assert_eq!(copy(&source, &target, Path::new("target")).unwrap(), length);
            assert_eq!(sparse::digest(&target).unwrap(), sparse::digest(&source).unwrap(), "{length}");
            let blocks = target.metadata().unwrap().blocks() * 512;
            assert!(blocks < 1024 * 1024, "{length}: {blocks} bytes of a file that is nearly empty");
        }
    }

    #[test]
    fn ranges_come_in_any_steps_and_once_more() {
        let directory = tempfile::tempdir().unwrap();
        let length = LARGE + 12345;
        let source = source(directory.path(), length);
        let target = fs::create_new(&directory.path().join("target")).unwrap();
        let mut aside = Aside::start(&source, &target, length).unwrap();
        for (start, end) in [(0, 2 * BLOCK), (2 * BLOCK, 3 * BLOCK), (0, 3 * BLOCK)] {
            aside.copy(start, end).unwrap();
        }
        // Where the source has a hole now, the copy must have one.
        source.set_len(0).unwrap();
        source.set_len(length).unwrap();
        source.write_all_at(b"other", 2 * BLOCK).unwrap();
        aside.restart().unwrap();
        for (start, end) in [(0, 3 * BLOCK), (3 * BLOCK, length)] {
            aside.copy(start, end).unwrap();
        }
        aside.finish().unwrap();
        assert_eq!(sparse::digest(&target).unwrap(), sparse::digest(&source).unwrap());
    }

    /// As [`write_direct`], on a file system that takes no such writes at all.
    fn refused(_: &File, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::InvalidInput.into())
    }

    /// As [`write_direct`], on a disk that gives up in the middle of a block that is in the middle.
    fn broken(target: &File, block: &[u8], position: u64) -> io::Result<()> {
        if position < 2 * BLOCK {
            return write_direct(target, block, position).or_else(|_| target.write_all_at(block, position));
        }
        target.write_all_at(&block[..block.len() / 2], position)?;
        Err(io::ErrorKind::StorageFull.into())
    }

    #[test]
    fn where_such_writes_fail_ordinary_ones_follow() {
        for (what, write) in [("refused", refused as DirectWrite), ("broken", broken)] {
            let directory = tempfile::tempdir().unwrap();
            let source = source(directory.path(), LARGE);
            let target = fs::create_new(&directory.path().join("target")).unwrap();
            let mut aside = Aside::start(&source, &target, LARGE).unwrap();
            aside.direct = Some(write);
            aside.copy(0, LARGE).unwrap();
            assert!(aside.direct.is_none(), "{what}: it is tried no more");
            aside.finish().unwrap();
            assert_eq!(sparse::digest(&target).unwrap(), sparse::digest(&source).unwrap(), "{what}");
        }
    }

    #[test]
    fn what_cannot_be_written_at_all_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let source = source(directory.path(), LARGE);
        fs::create_new(&directory.path().join("target")).unwrap();
        let reading = fs::open(&directory.path().join("target")).unwrap();
        assert!(Aside::start(&source, &reading, LARGE).is_err());
    }
}
