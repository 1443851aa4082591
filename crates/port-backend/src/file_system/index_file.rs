//! `.<file>.blocks`: the block index beside a published file (docs/formats/block-index.md).
//!
//! It is a saving: one that cannot be read, or is of another file, is none.

use std::fs::File;
use std::path::{Path, PathBuf};

use port_content::atomic::AtomicFile;
use port_content::{FsError, fs};
use port_model::{Digest, FileName};
use port_packed::block_index::BlockIndex;
use port_packed::{Control, PackedError, limit};

/// Smaller files have no index, in bytes: copying them costs less than looking.
pub(super) const LEAST: u64 = 1024 * 1024;

/// Where it is.
pub(super) fn path(directory: &Path, name: &FileName) -> PathBuf {
    directory.join(format!(".{name}.blocks"))
}

/// The index beside a published file of this size, and how many bytes were read for it.
pub(super) fn read(directory: &Path, name: &FileName, size: u64) -> Option<(BlockIndex, u64)> {
    if size < LEAST {
        return None;
    }
    let (mut file, metadata) = fs::open_regular_itself(&path(directory, name)).ok()?;
    let index = BlockIndex::read(&mut file, metadata.len()).ok()?;
    (index.image_size() == size).then_some((index, metadata.len()))
}

/// Writes it into a directory that is not published yet.
pub(super) fn write(directory: &Path, name: &FileName, index: &BlockIndex) -> Result<(), FsError> {
    let path = path(directory, name);
    let mut file = AtomicFile::create(&path)?;
    index.write(&mut file).map_err(|error| packed("write", &path, error))?;
    file.commit().map(drop)
}

/// The index of a file; `None` where it is too large for one.
pub(super) fn of(file: &File, digest: Option<&Digest>, path: &Path) -> Result<Option<BlockIndex>, FsError> {
    BlockIndex::of(file, digest, threads(), &Control::default())
        .map_err(|error| packed("read the blocks of", path, error))
}

/// Hashing keeps this many busy.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(limit::THREADS)
}

/// What went wrong with the blocks of the file at `path`.
pub(super) fn packed(operation: &'static str, path: &Path, error: PackedError) -> FsError {
    FsError::new(operation, path, std::io::Error::other(error))
}
