//! What can be wrong with a kernel file or package. Every variant names the subject, what was expected and
//! what was found; the cause, where there is one, is the source and is not repeated in the text.

use std::io;

use port_content::FsError;
use port_model::Architecture;

use crate::decompress::Compression;

/// A kernel file or package that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] FsError),
    /// Reading failed half way.
    #[error("cannot read {subject}")]
    Read {
        /// What was read.
        subject: String,
        /// What the reader said.
        source: io::Error,
    },
    /// The place where the kernel goes does not take it.
    #[error("cannot write what was unpacked from {subject}")]
    Write {
        /// What was being unpacked.
        subject: String,
        /// What the writer said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{subject} is not usable: expected {expected}, found {found}")]
    NotExpected {
        /// Which file.
        subject: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The kernel is for another architecture.
    #[error("{subject} is for another architecture: expected {expected}, found {found}")]
    Architecture {
        /// Which file.
        subject: String,
        /// What was asked for.
        expected: Architecture,
        /// What the file says.
        found: String,
    },
    /// The end of the file is missing.
    #[error(
        "{subject} is truncated: expected {part} to end at byte {expected}, found the end of the file at byte {found}"
    )]
    Truncated {
        /// Which file.
        subject: String,
        /// The part that is cut off.
        part: String,
        /// Where it should end.
        expected: u64,
        /// Where the file ends.
        found: u64,
    },
    /// A structure in the file contradicts its format.
    #[error("{subject} is malformed: expected {expected}, found {found}")]
    Malformed {
        /// Which file.
        subject: String,
        /// What the format asks for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Compressed data is damaged.
    #[error("cannot unpack the {compression} data in {subject}")]
    Unpack {
        /// Which file.
        subject: String,
        /// How it is compressed.
        compression: Compression,
        /// What the decoder said.
        source: io::Error,
    },
    /// Compressed data does not give as many bytes as it says.
    #[error("{subject} does not unpack to its recorded size: expected {expected} bytes, found {found}")]
    Size {
        /// Which file.
        subject: String,
        /// The recorded size.
        expected: u64,
        /// What came out.
        found: String,
    },
    /// More bytes than any kernel has.
    #[error("{subject} is too large: expected at most {limit} bytes, found more")]
    TooLarge {
        /// Which file.
        subject: String,
        /// The limit.
        limit: u64,
    },
    /// A package without a kernel, such as a meta package.
    #[error(
        "package {package} is not a kernel package: expected a file `boot/vmlinuz-*`, found none{}",
        follow.as_ref().map(|name| format!(" (it depends on {name})")).unwrap_or_default()
    )]
    NoKernel {
        /// The package.
        package: String,
        /// The kernel package that it depends on, if it does.
        follow: Option<String>,
    },
}

impl KernelError {
    pub(crate) fn malformed(subject: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Malformed { subject: subject.to_owned(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn read(subject: &str, source: io::Error) -> Self {
        Self::Read { subject: subject.to_owned(), source }
    }
}
