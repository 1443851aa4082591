//! Copies that keep holes and share blocks: reflink where the file system can, else data runs only.
//!
//! A root file system image is mostly holes; a copy that filled them would write gigabytes of zeros.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc;

use port_model::Digest;
use rustix::fs::{SeekFrom, ioctl_ficlone, seek};

use crate::flusher::Flusher;
use crate::fs::{Context as _, FsError};
use crate::hashing::{BUFFER, Hasher};

/// Granularity of hole detection while writing, in bytes: the block size of common file systems.
pub const BLOCK: usize = 4096;
/// How much is copied before it is told, in bytes.
const STEP: u64 = 16 * 1024 * 1024;

/// Which side of a copy failed: a source that cannot be read may be had elsewhere, a target that cannot be written not.
#[derive(Debug)]
pub enum CopyError {
    /// The source gave an error, or ended early.
    Read(io::Error),
    /// The target took no more.
    Write(io::Error),
}

impl From<CopyError> for io::Error {
    fn from(error: CopyError) -> Self {
        let (CopyError::Read(source) | CopyError::Write(source)) = error;
        source
    }
}

/// Copies `source` into the empty file `target`, keeping holes; returns the bytes of its length.
///
/// `path` names the copy in errors: the target where its path is known, else the source. Both files' positions are undefined afterwards.
pub fn copy(source: &File, target: &File, path: &Path) -> Result<u64, FsError> {
    copy_telling(source, target, path, &mut |_| {})
}

/// As [`copy`], telling how many bytes are done since it last told, holes included.
pub fn copy_telling(
    source: &File,
    target: &File,
    path: &Path,
    tell: &mut dyn FnMut(u64),
) -> Result<u64, FsError> {
    let length = source.metadata().context("inspect", path)?.len();
    if reflink(source, target) {
        tell(length);
        return Ok(length);
    }
    target.set_len(length).context("size", path)?;
    copy_data_runs(source, target, length, tell).context("copy", path)?;
    Ok(length)
}

/// Makes `target` share the blocks of `source`; says whether the file system can.
pub fn reflink(source: &File, target: &File) -> bool {
    ioctl_ficlone(target, source).is_ok()
}

fn copy_data_runs(source: &File, target: &File, length: u64, tell: &mut dyn FnMut(u64)) -> io::Result<()> {
    let mut position = 0;
    while position < length {
        let (start, end) = next_data(source, position, length)?.unwrap_or((length, length));
        let mut from = start;
        while from < end {
            let to = end.min(from + STEP);
            copy_run(source, target, from, to)?;
            tell(to - position);
            position = to;
            from = to;
        }
        tell(end - position);
        position = end;
    }
    Ok(())
}

/// Says that these places of the file, `length` bytes each, are read next: a disk finds many at a time sooner than one after the
/// other. What the system makes of it is its own affair.
pub fn will_read(file: &File, places: impl IntoIterator<Item = u64>, length: u64) {
    let length = std::num::NonZeroU64::new(length);
    for place in places {
        let _ = rustix::fs::fadvise(file, place, length, rustix::fs::Advice::WillNeed);
    }
}

/// The next run that may hold data, at or after `position`; `None` where only a hole is left.
pub fn next_data(file: &File, position: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    let start = match seek(file, SeekFrom::Data(position)) {
        Ok(start) => start,
        // ENXIO: nothing but a hole up to the end.
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        // A file system without SEEK_DATA: all of it counts as data.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => return Ok(Some((position, length))),
        Err(error) => return Err(error.into()),
    };
    let end = seek(file, SeekFrom::Hole(start))?;
    Ok((start < length).then_some((start, end.min(length))))
}

fn copy_run(source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
    Ok(copy_range(source, start, target, start, end - start)?)
}

/// Copies `length` bytes between two places, inside the kernel where it can; file systems that share blocks may share
/// them. All of `length` must lie within the source.
pub fn copy_range(source: &File, from: u64, target: &File, to: u64, length: u64) -> Result<(), CopyError> {
    let (mut from, mut to) = (from, to);
    let end = from.saturating_add(length);
    while from < end {
        let count = usize::try_from(end - from).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), count) {
            Ok(0) => return Err(CopyError::Read(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            // Another file system, or a kernel that cannot, or an error that does not say whose it is: by hand.
            Err(_) => return copy_range_by_hand(source, from, target, to, end - from),
        }
    }
    Ok(())
}

fn copy_range_by_hand(
    source: &File,
    from: u64,
    target: &File,
    to: u64,
    length: u64,
) -> Result<(), CopyError> {
    let mut buffer = vec![0; BUFFER];
    let mut done = 0;
    while done < length {
        let count = usize::try_from(length - done).unwrap_or(usize::MAX).min(BUFFER);
        source.read_exact_at(&mut buffer[..count], from + done).map_err(CopyError::Read)?;
        target.write_all_at(&buffer[..count], to + done).map_err(CopyError::Write)?;
        done += count as u64;
    }
    Ok(())
}

/// As [`copy`], beginning to write to the disk at once, so that a flush afterwards has little left to do.
pub fn copy_flushing(source: &File, target: &File, path: &Path) -> Result<u64, FsError> {
    let mut flusher = Flusher::start(target).context("flush", path)?;
    let length = copy_telling(source, target, path, &mut |bytes| flusher.written(bytes))?;
    flusher.finish().context("flush", path)?;
    Ok(length)
}

/// As [`copy_flushing`], hashing meanwhile what arrived in `target`; returns its digest and size.
pub fn copy_hashing(source: &File, target: &File, path: &Path) -> Result<(Digest, u64), FsError> {
    copy_hashing_telling(source, target, path, &mut |_| {})
}

/// As [`copy_hashing`], telling as [`copy_telling`] does.
pub fn copy_hashing_telling(
    source: &File,
    target: &File,
    path: &Path,
    tell: &mut (dyn FnMut(u64) + Send),
) -> Result<(Digest, u64), FsError> {
    let mut flusher = Flusher::start(target).context("flush", path)?;
    let (sender, arrived) = mpsc::channel();
    std::thread::scope(|scope| {
        let copying = scope.spawn(move || {
            let mut frontier = 0;
            copy_telling(source, target, path, &mut |bytes| {
                frontier += bytes;
                flusher.written(bytes);
                tell(bytes);
                // Nobody listens where hashing failed; that is the error that counts.
                let _ = sender.send(frontier);
            })?;
            flusher.finish().context("flush", path)
        });
        let mut hasher = Hasher::default();
        for frontier in arrived {
            hash_to(target, &mut hasher, frontier).context("read", path)?;
        }
        copying.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let size = hasher.size();
        Ok((hasher.finish(), size))
    })
}

/// How many bytes of `file` are not in holes.
pub fn data_bytes(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let (mut position, mut data) = (0, 0);
    while let Some((start, end)) = next_data(file, position, length)? {
        data += end - start;
        position = end;
    }
    Ok(data)
}

/// Digest and size of `file`; holes are hashed as zeros without being read.
pub fn digest(file: &File) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::default();
    hash_to(file, &mut hasher, file.metadata()?.len())?;
    let size = hasher.size();
    Ok((hasher.finish(), size))
}

/// Takes in the bytes of `file` from where `hasher` stands up to `end`, which the file must have.
pub fn hash_to(file: &File, hasher: &mut Hasher, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let zeros = vec![0; BUFFER];
    while hasher.size() < end {
        let (start, stop) = next_data(file, hasher.size(), end)?.unwrap_or((end, end));
        for (to, hole) in [(start, true), (stop, false)] {
            while hasher.size() < to {
                let count = usize::try_from(to - hasher.size()).unwrap_or(usize::MAX).min(BUFFER);
                if hole {
                    hasher.update(&zeros[..count]);
                } else {
                    file.read_exact_at(&mut buffer[..count], hasher.size())?;
                    hasher.update(&buffer[..count]);
                }
            }
        }
    }
    Ok(())
}

/// A writer that turns whole zero blocks into holes. Call [`SparseWriter::finish`] to set the length.
#[derive(Debug)]
pub struct SparseWriter<'a> {
    file: &'a File,
    position: u64,
    pending: Vec<u8>,
}

impl<'a> SparseWriter<'a> {
    /// Writes to `file` from its start; the file must be empty.
    pub fn new(file: &'a File) -> Self {
        Self { file, position: 0, pending: Vec::with_capacity(BLOCK) }
    }

    fn put(&mut self, block: &[u8]) -> io::Result<()> {
        if block.iter().any(|byte| *byte != 0) {
            self.file.write_all_at(block, self.position)?;
        }
        self.position += block.len() as u64;
        Ok(())
    }

    /// Writes what is pending and sets the file's length; returns it.
    pub fn finish(mut self) -> io::Result<u64> {
        let pending = std::mem::take(&mut self.pending);
        self.put(&pending)?;
        self.file.set_len(self.position)?;
        Ok(self.position)
    }
}

impl io::Write for SparseWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        if !self.pending.is_empty() {
            let take = (BLOCK - self.pending.len()).min(rest.len());
            self.pending.extend_from_slice(&rest[..take]);
            rest = &rest[take..];
            if self.pending.len() < BLOCK {
                return Ok(bytes.len());
            }
            let pending = std::mem::take(&mut self.pending);
            self.put(&pending)?;
        }
        let blocks = rest.chunks_exact(BLOCK);
        self.pending.extend_from_slice(blocks.remainder());
        for block in blocks {
            self.put(block)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs;
    use crate::hashing::digest_of;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    fn image(runs: &[(bool, u16)]) -> Vec<u8> {
        runs.iter().flat_map(|(data, length)| vec![u8::from(*data) * 7; usize::from(*length)]).collect()
    }

    proptest! {
        #[test]
        fn holes_and_data_round_trip(runs in proptest::collection::vec((any::<bool>(), 0u16..20_000), 0..8)) {
            let directory = tempfile::tempdir().unwrap();
            let bytes = image(&runs);
            let (one, two) = (directory.path().join("one"), directory.path().join("two"));
            let first = fs::create_new(&one).unwrap();
            let mut writer = SparseWriter::new(&first);
            for chunk in bytes.chunks(1000) {
                writer.write_all(chunk).unwrap();
            }
            prop_assert_eq!(writer.finish().unwrap(), bytes.len() as u64);
            let second = fs::create_new(&two).unwrap();
            copy(&first, &second, &two).unwrap();
            prop_assert_eq!(fs::read(&two, 1 << 20).unwrap(), bytes.clone());
            let third = fs::create_scratch(&one.with_extension("three")).unwrap();
            let hashed = copy_hashing(&first, &third, &two).unwrap();
            prop_assert_eq!(hashed, (digest_of(&bytes), bytes.len() as u64));
            prop_assert_eq!(digest(&second).unwrap(), (digest_of(&bytes), bytes.len() as u64));
        }
    }

    #[test]
    fn ranges_land_where_they_should() {
        let directory = tempfile::tempdir().unwrap();
        let first = fs::create_new(&directory.path().join("one")).unwrap();
        first.write_all_at(b"abcdefgh", 0).unwrap();
        let second = fs::create_new(&directory.path().join("two")).unwrap();
        copy_range(&first, 2, &second, 5, 3).unwrap();
        copy_range_by_hand(&first, 6, &second, 1, 2).unwrap();
        let bytes = fs::read(&directory.path().join("two"), 100).unwrap();
        assert_eq!(bytes, b"\0gh\0\0cde");
        assert!(copy_range(&first, 6, &second, 0, 3).is_err());
    }

    #[test]
    fn a_copy_keeps_holes() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        let first = fs::create_new(&one).unwrap();
        first.set_len(64 * 1024 * 1024).unwrap();
        first.write_all_at(b"x", 32 * 1024 * 1024).unwrap();
        let second = fs::create_new(&two).unwrap();
        copy(&first, &second, &two).unwrap();
        let data = data_bytes(&second).unwrap();
        assert!((1..1024 * 1024).contains(&data), "{data} bytes");
        let metadata = second.metadata().unwrap();
        assert_eq!(metadata.len(), 64 * 1024 * 1024);
        assert!(metadata.blocks() * 512 < 1024 * 1024, "{} blocks", metadata.blocks());
    }

    #[test]
    fn a_copy_that_fails_says_which_side_failed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::open_writable(&path).unwrap().write_all_at(b"0123456789", 0).unwrap();
        let reading = fs::open(&path).unwrap();
        let writing = tempfile::tempfile().unwrap();
        assert!(matches!(copy_range(&reading, 8, &writing, 0, 3), Err(CopyError::Read(_))), "its end");
        assert!(matches!(copy_range(&writing, 0, &reading, 0, 3), Err(CopyError::Read(_))), "it is empty");
        assert!(matches!(copy_range(&reading, 0, &fs::open(&path).unwrap(), 5, 3), Err(CopyError::Write(_))));
    }
}
