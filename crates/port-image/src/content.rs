//! Where a file's bytes come from, read piece by piece: memory stays flat for files of any size.
//!
//! Invariant: a host file that changes between the first look and the last read is an error, never a
//! mixture of two states.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use port_content::fs::{self, FsError};
use port_content::sparse;

use crate::error::ImageError;

/// The bytes of a regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Held in memory.
    Bytes(Vec<u8>),
    /// Read from a host file when the image is written.
    HostFile {
        /// Where it is.
        path: PathBuf,
        /// How big it was when the tree was made; another size later is an error.
        size: u64,
    },
}

impl Content {
    /// The content of a host file, which must be a regular one.
    pub fn from_host(path: &Path) -> Result<Self, FsError> {
        let (_, metadata) = fs::open_regular(path)?;
        Ok(Self::HostFile { path: path.to_owned(), size: metadata.len() })
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::HostFile { size, .. } => *size,
        }
    }

    /// The bytes, where they are at most `limit`.
    pub fn read(&self, limit: u64) -> Result<Vec<u8>, ImageError> {
        match self {
            Self::Bytes(bytes) if bytes.len() as u64 <= limit => Ok(bytes.clone()),
            Self::Bytes(bytes) => {
                Err(ImageError::TooLarge { subject: "content".into(), found: bytes.len() as u64, limit })
            }
            Self::HostFile { path, .. } => Ok(fs::read(path, limit)?),
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

/// What tells one state of a host file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// An open content.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    bytes: Bytes<'a>,
    size: u64,
}

#[derive(Debug)]
enum Bytes<'a> {
    Memory(&'a [u8]),
    File { file: File, path: &'a Path, stamp: Stamp },
}

impl<'a> Source<'a> {
    /// Opens it; a host file must still have the size that the tree says.
    pub(crate) fn open(content: &'a Content) -> Result<Self, ImageError> {
        match content {
            Content::Bytes(bytes) => Ok(Self { bytes: Bytes::Memory(bytes), size: bytes.len() as u64 }),
            Content::HostFile { path, size } => {
                let (file, metadata) = fs::open_regular(path)?;
                if metadata.len() != *size {
                    let (expected, found) = (format!("{size} bytes"), format!("{} bytes", metadata.len()));
                    return Err(ImageError::changed(path, expected, found));
                }
                let stamp = Stamp::of(&metadata);
                Ok(Self { bytes: Bytes::File { file, path, stamp }, size: *size })
            }
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The state of the host file when it was opened.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match &self.bytes {
            Bytes::Memory(_) => None,
            Bytes::File { stamp, .. } => Some(*stamp),
        }
    }

    /// Fails where the host file is not in the state `stamp` any more.
    pub(crate) fn assert_unchanged(&self, stamp: Option<Stamp>) -> Result<(), ImageError> {
        let (Bytes::File { file, path, .. }, Some(expected)) = (&self.bytes, stamp) else { return Ok(()) };
        let metadata = file.metadata().map_err(|source| FsError::new("inspect", path, source))?;
        let found = Stamp::of(&metadata);
        if found == expected {
            return Ok(());
        }
        let words = |stamp: Stamp| {
            let (seconds, nanoseconds) = stamp.changed;
            format!("{} bytes as of {seconds}.{nanoseconds:09}", stamp.size)
        };
        Err(ImageError::changed(path, words(expected), words(found)))
    }

    /// Fills `buffer` from `offset`.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ImageError> {
        match &self.bytes {
            Bytes::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                match bytes.get(start..start.saturating_add(buffer.len())) {
                    Some(part) => buffer.copy_from_slice(part),
                    None => return Err(ImageError::read("content")(io::ErrorKind::UnexpectedEof.into())),
                }
                Ok(())
            }
            Bytes::File { file, path, .. } => match file.read_exact_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(ImageError::changed(path, format!("{} bytes", self.size), "fewer"))
                }
                result => Ok(result.map_err(|source| FsError::new("read", path, source))?),
            },
        }
    }

    /// The next run at or after `position` that may hold something else than zeros.
    pub(crate) fn next_data(&self, position: u64) -> Result<Option<(u64, u64)>, ImageError> {
        match &self.bytes {
            Bytes::Memory(_) => Ok((position < self.size).then_some((position, self.size))),
            Bytes::File { file, path, .. } => {
                let found = sparse::next_data(file, position, self.size);
                Ok(found.map_err(|source| FsError::new("read", path, source))?)
            }
        }
    }

    /// A reader from the start, exactly `size` bytes long.
    pub(crate) fn reader(&self) -> SourceReader<'_, 'a> {
        SourceReader { source: self, position: 0 }
    }
}

/// Reads a source from start to end.
#[derive(Debug)]
pub(crate) struct SourceReader<'s, 'a> {
    source: &'s Source<'a>,
    position: u64,
}

impl Read for SourceReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.source.size - self.position).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        if let Some(part) = buffer.get_mut(..count) {
            self.source.read_exact_at(part, self.position).map_err(io::Error::other)?;
        }
        self.position += count as u64;
        Ok(count)
    }
}
