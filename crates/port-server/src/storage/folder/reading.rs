//! Reading files of the folder: whole small ones, streams of large ones, names of directories.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream;
use port_content::hashing::digest_of;
use port_content::{FsError, fs};

use super::hot::Identity;
use crate::storage::{ByteRange, Child, ChildKind, Content, Document, StagedUpload, Version};

/// How much of a large object is read at once, in bytes: the fastest of the sizes that were measured.
const PIECE: u64 = 512 * 1024;
/// The least that is read at once, however many read.
const LEAST_PIECE: u64 = 64 * 1024;
/// What all readers together have in memory, about; then each takes smaller pieces.
const ALL_PIECES: u64 = 8 << 20;

/// What is not there, or has something else on its way to it, is `None`.
fn absent<T>(result: Result<T, FsError>) -> Result<Option<T>, FsError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() || error.source.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn size(path: &Path) -> Result<Option<u64>, FsError> {
    let found = absent(fs::symlink_metadata(path))?;
    Ok(found.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len()))
}

/// Which file is there now.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    fs::symlink_metadata(path).ok().as_ref().map(Identity::of)
}

pub(super) fn document(path: &Path, limit: u64) -> Result<Option<Document>, FsError> {
    let Some(bytes) = absent(fs::read(path, limit))? else { return Ok(None) };
    let version = Version(digest_of(&bytes).hex().to_owned());
    Ok(Some(Document { bytes: bytes.into(), version }))
}

/// How many streams are being read.
#[derive(Debug, Clone, Default)]
pub(super) struct Readers(Arc<AtomicU64>);

impl Readers {
    fn begin(&self) -> Reader {
        self.0.fetch_add(1, Ordering::Relaxed);
        Reader(self.clone())
    }

    /// How much each of them reads at once.
    fn piece(&self) -> u64 {
        (ALL_PIECES / self.0.load(Ordering::Relaxed).max(1)).clamp(LEAST_PIECE, PIECE)
    }
}

/// One of them, for as long as it is read.
struct Reader(Readers);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn content(
    path: &Path,
    range: Option<ByteRange>,
    readers: &Readers,
) -> Result<Option<Content>, FsError> {
    let Some((mut file, metadata)) = absent(fs::open_regular_itself(path))? else { return Ok(None) };
    let size = metadata.len();
    let (first, length) = match range {
        Some(range) => (range.first.min(size), range.length().min(size.saturating_sub(range.first))),
        None => (0, size),
    };
    fs::Context::context(file.seek(SeekFrom::Start(first)), "read", path)?;
    let state = Reading { file, left: length, reader: readers.begin() };
    let stream = stream::try_unfold(state, |state| async {
        let piece = tokio::task::spawn_blocking(move || state.next()).await;
        piece.map_err(io::Error::other)?
    });
    Ok(Some(Content { size, stream: Box::pin(stream) }))
}

struct Reading {
    file: File,
    left: u64,
    reader: Reader,
}

impl Reading {
    fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let length = self.left.min(self.reader.0.piece());
        if length == 0 {
            return Ok(None);
        }
        // One call, into memory that nobody had to clear before.
        let mut piece = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let taken = (&self.file).take(length).read_to_end(&mut piece)?;
        if taken as u64 != length {
            // A file that became shorter is an error, so that nobody takes the part for the whole.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= length;
        Ok(Some((piece.into(), self)))
    }
}

/// Whether two paths are names of one file.
pub(super) fn are_one_file(one: &Path, other: &Path) -> Result<bool, FsError> {
    let identity = |path: &Path| {
        let found = absent(fs::symlink_metadata(path))?;
        Ok::<_, FsError>(found.map(|metadata| (metadata.dev(), metadata.ino())))
    };
    Ok(identity(one)?.is_some_and(|one| identity(other).is_ok_and(|other| other == Some(one))))
}

/// The files of the staging area; uploads have names of one part.
pub(super) fn staged(root: &Path, after: Option<&str>, limit: usize) -> Result<Vec<StagedUpload>, FsError> {
    let mut found = Vec::new();
    for path in absent(fs::read_dir(root))?.unwrap_or_default() {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if found.len() >= limit || after.is_some_and(|after| name <= after) {
            continue;
        }
        let Some(metadata) = absent(fs::symlink_metadata(&path))?.filter(std::fs::Metadata::is_file) else {
            continue;
        };
        let changed = fs::Context::context(metadata.modified(), "inspect", &path)?;
        found.push(StagedUpload { name: name.to_owned(), size: metadata.len(), changed });
    }
    Ok(found)
}

pub(super) fn children(path: &Path, after: Option<&str>, limit: usize) -> Result<Vec<Child>, FsError> {
    let paths = absent(fs::read_dir(path))?.unwrap_or_default();
    let names = paths.iter().filter_map(|path| Some((path, path.file_name()?.to_str()?)));
    let wanted = names
        // Hidden names are files being written.
        .filter(|(_, name)| !name.starts_with('.') && after.is_none_or(|after| *name > after))
        .take(limit);
    let mut children = Vec::new();
    for (path, name) in wanted {
        // What was removed meanwhile is not listed.
        let Some(metadata) = absent(fs::symlink_metadata(path))? else { continue };
        let kind = if metadata.is_dir() { ChildKind::Prefix } else { ChildKind::Object };
        children.push(Child { name: name.to_owned(), kind });
    }
    Ok(children)
}
