//! What can go wrong. Each error names the thing, what was expected and what was found.

use std::io;

use port_content::sparse::CopyError;
use port_model::Digest;

/// A failed packing, assembling, or reading of a map or delta.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    /// A map or delta contradicts its format or itself.
    #[error("the {document} is not valid: {finding}")]
    Malformed {
        /// `map` or `delta`.
        document: &'static str,
        /// What was expected and what was found.
        finding: String,
    },
    /// A frame's bytes are not those that the map or delta describes.
    #[error("frame {frame} of {container} is damaged: {finding}")]
    Frame {
        /// `pack sha256:…` or `the delta`.
        container: String,
        /// Its place, counted from 0.
        frame: usize,
        /// What was expected and what was found.
        finding: String,
    },
    /// Reading failed.
    #[error("cannot read {subject}")]
    Read {
        /// Of what.
        subject: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file at hand could not be read: what it has may be had elsewhere.
    #[error("cannot read a local image")]
    Source {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {subject}")]
    Write {
        /// To what.
        subject: String,
        /// What the operating system, or the taker of packs, said.
        #[source]
        source: io::Error,
    },
    /// The compressor refused.
    #[error("cannot compress a frame: {0}")]
    Compress(String),
    /// Something is larger than the format allows.
    #[error("{subject} is too large for the packed encoding: at most {limit}, found {found}")]
    TooLarge {
        /// What.
        subject: &'static str,
        /// The most that is allowed.
        limit: u64,
        /// What was found.
        found: u64,
    },
    /// An option makes no sense.
    #[error("option `{option}`: expected {expected}, found {found}")]
    Option {
        /// Which.
        option: &'static str,
        /// The range.
        expected: String,
        /// What was given.
        found: u64,
    },
    /// The image is another than the one that the map or delta was made for.
    #[error("the {role} image is another one: expected {expected}, found {found}")]
    OtherImage {
        /// `parent`, `local`.
        role: &'static str,
        /// Digest or size.
        expected: String,
        /// Digest or size.
        found: String,
    },
    /// All frames were right, yet the image as a whole is not: a local source was damaged, or the map lies.
    #[error("the image does not match its digest: expected {expected}, found {found}")]
    WrongImage {
        /// From the map or delta.
        expected: Digest,
        /// Of what was written.
        found: Digest,
    },
    /// An image was asked for before all its blocks were there.
    #[error(
        "the image is incomplete: {missing} of its blocks were never written; the first is block {first}"
    )]
    Incomplete {
        /// How many blocks.
        missing: u64,
        /// The first of them.
        first: u64,
    },
    /// The image, or the one it is packed against, changed while it was read.
    #[error(
        "the image, or its parent, changed while it was packed: expected them at rest, found other times or size"
    )]
    Changed,
    /// More data than packs for it fit into one manifest.
    #[error("too much for the packed encoding: at most {limit} bytes of new data, found {found}")]
    TooMuchData {
        /// In packs of the largest size, should none of it compress.
        limit: u64,
        /// In the image.
        found: u64,
    },
    /// The target of an assembly must be an empty file, because what is not written must be a hole.
    #[error("the target file is not empty: expected 0 bytes, found {found}")]
    NotEmpty {
        /// Its length.
        found: u64,
    },
    /// A pack or frame that the plan does not ask for.
    #[error("{subject} is not part of the plan")]
    NotPlanned {
        /// Which.
        subject: String,
    },
    /// The caller asked to stop.
    #[error("stopped as asked")]
    Cancelled,
}

impl PackedError {
    /// Whether bytes were wrong, or a disk could not give back what it holds: with other copies of the same it may go well.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Frame { .. } | Self::WrongImage { .. } | Self::Source { .. } => true,
            Self::Read { source, .. } => port_content::fs::is_damage(source),
            _ => false,
        }
    }

    pub(crate) fn read(subject: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let subject = subject.into();
        move |source| Self::Read { subject, source }
    }

    pub(crate) fn write(subject: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let subject = subject.into();
        move |source| Self::Write { subject, source }
    }

    /// A copy from a local image into `target`.
    pub(crate) fn copy(target: &'static str) -> impl FnOnce(CopyError) -> Self {
        move |error| match error {
            CopyError::Read(source) => Self::Source { source },
            CopyError::Write(source) => Self::write(target)(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_cannot_read_is_damage_and_one_that_is_full_is_not() {
        let error = io::Error::from_raw_os_error;
        let (input_output, refused, full) = (5, 13, 28);
        for (found, expected) in [
            (PackedError::copy("the image")(CopyError::Read(error(input_output))), true),
            (PackedError::copy("the image")(CopyError::Read(io::ErrorKind::UnexpectedEof.into())), true),
            (PackedError::copy("the image")(CopyError::Write(error(full))), false),
            (PackedError::copy("the image")(CopyError::Write(error(input_output))), false),
            (PackedError::read("pack sha256:1")(error(input_output)), true),
            (PackedError::read("pack sha256:1")(error(refused)), false),
        ] {
            assert_eq!(found.is_damage(), expected, "{found}: {:?}", std::error::Error::source(&found));
        }
    }
}
