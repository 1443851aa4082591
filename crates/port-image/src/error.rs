//! Everything that can go wrong with an image, each with the path or file it is about.

use std::io;
use std::path::{Path, PathBuf};

use port_content::FsError;
use port_model::ComponentFormat;

use crate::tool::ToolError;
use crate::tree::TreePath;

/// A tree that cannot be, or an image that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A text that is not a path inside an image.
    #[error("`{path}` is not a path inside an image: {reason}")]
    Path {
        /// The text, made readable.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something is there already.
    #[error("`{path}` is in the tree already: it is a {found}")]
    Exists {
        /// Where.
        path: TreePath,
        /// What is there.
        found: &'static str,
    },
    /// A path leads through something that is not a directory.
    #[error("`{path}` cannot hold entries: expected a directory, found a {found}")]
    NotADirectory {
        /// The would-be parent.
        path: TreePath,
        /// What it is.
        found: &'static str,
    },
    /// A directory with entries cannot become something else.
    #[error("`{path}` is a directory with entries: it cannot be replaced by a {replacement}")]
    NotEmpty {
        /// The directory.
        path: TreePath,
        /// What was to take its place.
        replacement: &'static str,
    },
    /// An attribute that no image format can hold.
    #[error("`{path}` has an impossible {attribute}: expected {expected}, found {found}")]
    Attribute {
        /// The entry.
        path: TreePath,
        /// Which attribute.
        attribute: &'static str,
        /// What would have been fine.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A host file that has no place in an image.
    #[error("`{}` is a {found}: images hold files, directories, links, devices and fifos", path.display())]
    HostKind {
        /// The host path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Something that the format, or the tool that writes it, cannot express.
    #[error("{format} cannot hold `{path}`: {reason}")]
    NotRepresentable {
        /// The format, or the tool.
        format: &'static str,
        /// The entry.
        path: TreePath,
        /// Why not.
        reason: String,
    },
    /// The tree is larger than the image may be.
    #[error("the tree does not fit into {available} bytes: it needs {needed} bytes")]
    DoesNotFit {
        /// The smallest image that would hold it, in bytes.
        needed: u64,
        /// The image that was asked for, in bytes.
        available: u64,
    },
    /// An option with a value that the format does not have.
    #[error("{format} image option `{option}`: expected {expected}, found {found}")]
    Option {
        /// The format.
        format: &'static str,
        /// Which option.
        option: &'static str,
        /// What would have been fine.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A source file whose content was not the same from start to end.
    #[error("`{}` changed while the image was made: expected {expected}, found {found}", path.display())]
    ContentChanged {
        /// The host path.
        path: PathBuf,
        /// Its state at first.
        expected: String,
        /// Its state later.
        found: String,
    },
    /// The image file could not be written.
    #[error("cannot write the {format} image")]
    Write {
        /// The format.
        format: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Bytes that are not what the format asks for.
    #[error("not a valid {format}: at byte {offset}, expected {expected}, found {found}")]
    Malformed {
        /// The format.
        format: &'static str,
        /// Where.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Bytes that could not be read.
    #[error("cannot read the {format}")]
    Read {
        /// The format.
        format: &'static str,
        /// What the operating system or the decompressor said.
        #[source]
        source: io::Error,
    },
    /// Something larger than the caller allowed.
    #[error("`{subject}` is {found} bytes or more: at most {limit} are read here")]
    TooLarge {
        /// What.
        subject: String,
        /// Its size, as far as it is known.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A path that the image does not have, or that is not a regular file.
    #[error("`{}` has no regular file `{path}`: found {found}", image.display())]
    NoSuchFile {
        /// The image.
        image: PathBuf,
        /// The path inside it.
        path: TreePath,
        /// What is there instead.
        found: String,
    },
    /// An operation on a format that does not have it.
    #[error("`{}` is {format}: cannot {operation}", image.display())]
    Unsupported {
        /// The image.
        image: PathBuf,
        /// Its format.
        format: ComponentFormat,
        /// What was asked for, as an infinitive.
        operation: &'static str,
    },
    /// A host file could not be used.
    #[error(transparent)]
    File(#[from] FsError),
    /// An external tool is missing or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl ImageError {
    pub(crate) fn write(format: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { format, source }
    }

    pub(crate) fn read(format: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { format, source }
    }

    pub(crate) fn changed(path: &Path, expected: impl ToString, found: impl ToString) -> Self {
        Self::ContentChanged {
            path: path.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
