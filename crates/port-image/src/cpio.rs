//! newc archives (`man 5 cpio`, "New ASCII Format"): what a kernel unpacks as its initial RAM disk.
//!
//! ```text
//! "070701" 13 × 8 hex digits │ name NUL │ pad to 4 │ content │ pad to 4      … TRAILER!!!  pad to 512
//! ```
//!
//! Written from a [`Tree`] in its order, with inode numbers that count up, so that the same tree gives the
//! same bytes. Archives, also compressed ones, can be written one behind the other: the kernel unpacks all.
//! Not representable: extended attributes, files of 4 GiB and more. Reading is bounded by [`Limits`].

mod reader;

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};

pub use reader::{Limits, list_gz, read, read_gz};

use crate::content::Source;
use crate::error::ImageError;
use crate::tree::{Entry, Kind, Tree, TreePath};

/// The word for this format in messages.
const FORMAT: &str = "cpio";
const MAGIC: &[u8; 6] = b"070701";
/// Bytes of a header: the magic number and 13 fields.
const HEADER_BYTES: usize = 6 + 13 * 8;
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// Archives are padded to this, which is what tools write and concatenation needs a part of.
const ARCHIVE_ALIGNMENT: u64 = 512;
/// A fixed level: another one would be other bytes.
const GZIP_LEVEL: u32 = 9;
/// The operating system byte of the gzip header: "unknown", on every host.
const GZIP_SYSTEM: u8 = 255;

/// Writes the tree as one newc archive, its trailer and padding included; returns the bytes written.
pub fn write(tree: &Tree, output: &mut dyn Write) -> Result<u64, ImageError> {
    let mut archive = Archive { output, position: 0 };
    for (number, (path, entry)) in (1..).zip(tree.iter()) {
        archive.entry(tree, path, entry, number)?;
    }
    archive.header(TRAILER, &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    archive.pad(ARCHIVE_ALIGNMENT)?;
    Ok(archive.position)
}

/// Writes the tree as a gzip-compressed newc archive, without name and time in the gzip header; returns the
/// bytes of the archive before compression.
pub fn write_gz(tree: &Tree, output: &mut dyn Write) -> Result<u64, ImageError> {
    let level = Compression::new(GZIP_LEVEL);
    let mut gzip = GzBuilder::new().mtime(0).operating_system(GZIP_SYSTEM).write(output, level);
    let size = write(tree, &mut gzip)?;
    gzip.finish().map_err(ImageError::write(FORMAT))?;
    Ok(size)
}

struct Archive<'a> {
    output: &'a mut dyn Write,
    position: u64,
}

impl Archive<'_> {
    fn entry(&mut self, tree: &Tree, path: &TreePath, entry: &Entry, number: u32) -> Result<(), ImageError> {
        let refuse =
            |reason: String| Err(ImageError::NotRepresentable { format: FORMAT, path: path.clone(), reason });
        if let Some(name) = entry.attributes.xattrs.keys().next() {
            return refuse(format!("it has the extended attribute `{name}`"));
        }
        let Ok(mtime) = u32::try_from(entry.attributes.mtime) else {
            return refuse(format!("its time {} does not fit 32 bits", entry.attributes.mtime));
        };
        let size = match &entry.kind {
            Kind::File(content) => content.size(),
            Kind::Symlink(target) => target.len() as u64,
            _ => 0,
        };
        let Ok(size) = u32::try_from(size) else {
            return refuse(format!("its {size} bytes do not fit 32 bits"));
        };
        let (major, minor) = entry.kind.device().unwrap_or_default();
        let links = if entry.kind.is_directory() { 2 + subdirectories(tree, path) } else { 1 };
        let name = if path.is_root() { b"." } else { path.relative() };
        let attributes = &entry.attributes;
        let (uid, gid) = (attributes.uid, attributes.gid);
        self.header(name, &[number, entry.full_mode(), uid, gid, links, mtime, size, 0, 0, major, minor])?;
        match &entry.kind {
            Kind::File(content) => {
                let source = Source::open(content)?;
                self.stream(&source)?;
                source.assert_unchanged(source.stamp())?;
            }
            Kind::Symlink(target) => self.put(target)?,
            _ => {}
        }
        self.pad(4)
    }

    /// The 11 fields from the inode to the minor device number, then the name.
    fn header(&mut self, name: &[u8], fields: &[u32; 11]) -> Result<(), ImageError> {
        let mut header = MAGIC.to_vec();
        // Paths are shorter than 4 KiB; the NUL counts. The last field is a checksum that newc leaves 0.
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        for field in fields.iter().chain(&[name_size, 0]) {
            header.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.put(&header)?;
        self.put(name)?;
        self.put(&[0])?;
        self.pad(4)
    }

    fn stream(&mut self, source: &Source<'_>) -> Result<(), ImageError> {
        let copied = io::copy(&mut source.reader(), self.output).map_err(ImageError::write(FORMAT))?;
        self.position += copied;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.position += bytes.len() as u64;
        self.output.write_all(bytes).map_err(ImageError::write(FORMAT))
    }

    fn pad(&mut self, alignment: u64) -> Result<(), ImageError> {
        let zeros = [0; ARCHIVE_ALIGNMENT as usize];
        let count = self.position.next_multiple_of(alignment) - self.position;
        self.put(zeros.get(..usize::try_from(count).unwrap_or_default()).unwrap_or_default())
    }
}

/// How many directories are directly inside.
fn subdirectories(tree: &Tree, path: &TreePath) -> u32 {
    let inside = tree.iter_inside(path).filter(|(_, entry)| entry.kind.is_directory());
    let direct = inside.filter(|(inside, _)| inside.parent().as_ref() == Some(path)).count();
    u32::try_from(direct).unwrap_or(u32::MAX - 2)
}

#[cfg(test)]
mod tests;
