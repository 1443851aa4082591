//! Looks into an image without mounting it: does a path exist, and what does a small file say?
//!
//! The formats' own tools do the reading. Paths are exact: the last component is never followed as a
//! symbolic link. Invariant: a path cannot become another command, option or wildcard of a tool, and no
//! answer is larger than the caller allows.

mod erofs;
mod ext4;
mod squashfs;

use std::path::{Path, PathBuf};

use port_content::fs;
use port_model::ComponentFormat;

use crate::cpio::{self, Limits};
use crate::error::ImageError;
use crate::tree::{Kind, Tree, TreePath};

/// What is at a path of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A regular file of so many bytes.
    File(u64),
    /// A directory, link, device or fifo.
    Other,
}

/// An image to look into.
#[derive(Debug)]
pub struct ImageReader {
    image: PathBuf,
    inside: Inside,
}

#[derive(Debug)]
enum Inside {
    Ext4,
    Squashfs,
    Erofs,
    Archive(Tree),
}

impl ImageReader {
    /// Opens an image of a known format. An archive is read at once, within [`Limits::default`].
    pub fn open(path: &Path, format: ComponentFormat) -> Result<Self, ImageError> {
        let (file, _) = fs::open_regular(path)?;
        let inside = match format {
            ComponentFormat::Ext4 => Inside::Ext4,
            ComponentFormat::Squashfs => Inside::Squashfs,
            ComponentFormat::Erofs => Inside::Erofs,
            ComponentFormat::CpioGz => {
                Inside::Archive(cpio::read_gz(&mut std::io::BufReader::new(file), Limits::default())?)
            }
            // Kernels, and whatever has no entries.
            _ => {
                let (image, operation) = (path.to_owned(), "look for files in it");
                return Err(ImageError::Unsupported { image, format, operation });
            }
        };
        Ok(Self { image: path.to_owned(), inside })
    }

    /// Whether anything is at `path`.
    pub fn exists(&self, path: &str) -> Result<bool, ImageError> {
        Ok(self.find(path)? != Found::Nothing)
    }

    /// What is at `path`.
    pub fn find(&self, path: &str) -> Result<Found, ImageError> {
        let path = &TreePath::parse(path)?;
        match &self.inside {
            Inside::Ext4 => ext4::find(&self.image, path),
            Inside::Squashfs => squashfs::find(&self.image, path),
            Inside::Erofs => erofs::find(&self.image, path),
            Inside::Archive(tree) => Ok(match tree.get(path.as_bytes()).map(|entry| &entry.kind) {
                None => Found::Nothing,
                Some(Kind::File(content)) => Found::File(content.size()),
                Some(_) => Found::Other,
            }),
        }
    }

    /// The content of a regular file of at most `limit` bytes.
    pub fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, ImageError> {
        let inside = &TreePath::parse(path)?;
        let no_such_file = |found: String| {
            Err(ImageError::NoSuchFile { image: self.image.clone(), path: inside.clone(), found })
        };
        let size = match self.find(path)? {
            Found::File(size) if size <= limit => size,
            Found::File(found) => {
                return Err(ImageError::TooLarge { subject: inside.to_string(), found, limit });
            }
            Found::Nothing => return no_such_file("nothing".into()),
            Found::Other => return no_such_file("something that is not a regular file".into()),
        };
        let bytes = match &self.inside {
            Inside::Ext4 => ext4::read(&self.image, inside, size)?,
            Inside::Squashfs => squashfs::read(&self.image, inside, size)?,
            Inside::Erofs => erofs::read(&self.image, inside, size)?,
            Inside::Archive(tree) => match tree.get(inside.as_bytes()).map(|entry| &entry.kind) {
                Some(Kind::File(content)) => content.read(limit)?,
                _ => return no_such_file("nothing".into()),
            },
        };
        if bytes.len() as u64 == size {
            return Ok(bytes);
        }
        no_such_file(format!("{} of {size} bytes", bytes.len()))
    }
}

/// The path as text, where it is safe between the double quotes of a tool's command line.
fn quotable(path: &TreePath) -> Result<&str, ImageError> {
    let text = std::str::from_utf8(path.as_bytes()).ok();
    let safe = text.filter(|text| !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')));
    safe.ok_or_else(|| ImageError::Path {
        path: path.to_string(),
        reason: "the tool that reads the image takes no quotes, backslashes or control characters",
    })
}

#[cfg(test)]
mod tests;
