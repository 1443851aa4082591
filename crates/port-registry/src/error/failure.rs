//! Why an operation on a registry failed, and of which kind that is.
//!
//! Invariant: as in the module above, no message holds a secret.

use std::fmt;

use port_content::FsError;
use port_content::verify::Mismatch;

use crate::credential::CredentialError;

/// The kind of a failure: what a caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The thing is not there.
    NotFound,
    /// The registry does not know who is asking (401).
    Unauthenticated,
    /// The registry knows, and refuses (403).
    Forbidden,
    /// No answer, or a passing failure that did not pass.
    Unavailable,
    /// Bytes that are not the ones that were named.
    Corrupt,
    /// The registry cannot do this.
    Unsupported,
    /// The registry refused in another way.
    Refused,
    /// Somebody else changed it in between (412).
    Changed,
    /// The registry tried what an honest one never does.
    Hostile,
    /// The cause is on this host.
    Local,
}

/// What a registry answered in place of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The registry's own error codes and messages, at most a few, cut and cleaned.
    pub details: Vec<String>,
}

impl Refusal {
    /// Whether it complains, or may complain, about the bytes of a blob and not about the request.
    pub(crate) fn is_about_bytes(&self) -> bool {
        const CODES: [&str; 3] = ["DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_INVALID"];
        let names = |detail: &String| CODES.iter().any(|code| detail.starts_with(code));
        self.details.is_empty() || self.details.iter().any(names)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the registry answered {}", self.status)?;
        match self.details.as_slice() {
            [] => Ok(()),
            details => write!(f, " ({})", details.join("; ")),
        }
    }
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// 404 or 410.
    #[error("{0}")]
    NotFound(Refusal),
    /// 401, with the credentials there are, or with none.
    #[error("{refusal}: {hint}")]
    Unauthenticated {
        /// What it said.
        refusal: Refusal,
        /// Whether there were credentials.
        hint: &'static str,
    },
    /// The TLS server wants to see another certificate, or one at all.
    #[error("`{host}` did not let this client in: {why}")]
    ClientCertificate {
        /// Who.
        host: String,
        /// What it said.
        why: &'static str,
    },
    /// What answers speaks no TLS.
    #[error("`{host}` is asked by HTTPS, and does not answer in TLS: it seems to speak plain HTTP")]
    NoTls {
        /// Who.
        host: String,
    },
    /// Credentials would be readable on the way, and nobody asked for that.
    #[error(
        "refused to send credentials to `{host}` in the clear: plain HTTP was not asked for at this very registry"
    )]
    InTheClear {
        /// To whom.
        host: String,
    },
    /// 403.
    #[error("{0}")]
    Forbidden(Refusal),
    /// 412.
    #[error("it was changed in between: {0}")]
    Changed(Refusal),
    /// Another status that says no.
    #[error("{0}")]
    Refused(Refusal),
    /// 413: what was sent is more than it takes, or than something on the way lets through.
    #[error("{refusal}: {sent} bytes are more than it, or a proxy before it, takes in one request")]
    TooLarge {
        /// What it said.
        refusal: Refusal,
        /// The least that was sent at once, in bytes.
        sent: u64,
    },
    /// The registry cannot do this.
    #[error("the registry does not support this: {0}")]
    Unsupported(Refusal),
    /// The content is of a kind that Port does not read.
    #[error("expected an OCI or Docker manifest or index, found `{found}`")]
    UnknownContent {
        /// The media type.
        found: String,
    },
    /// A status that passes, but did not.
    #[error("{refusal}, {tries} times")]
    Overloaded {
        /// What it said at last.
        refusal: Refusal,
        /// How often it was asked.
        tries: u32,
    },
    /// No answer, or none that was complete.
    #[error("no complete answer from `{host}` after {tries} tries")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// How often.
        tries: u32,
        /// The last reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry got other bytes than the right ones that were sent, again and again.
    #[error(
        "{refusal}, {starts} times, but the local bytes are right: the registry or the link to it changes bytes"
    )]
    Altered {
        /// What it said at last.
        refusal: Refusal,
        /// How often the upload was started.
        starts: u32,
    },
    /// Other bytes than declared.
    #[error("the registry sent other bytes than it named")]
    Corrupt(#[source] Mismatch),
    /// Other bytes than declared, and again when asked in another way.
    #[error(
        "the registry sent other bytes than it named, and again in one plain stream: it or the link to it changes bytes"
    )]
    CorruptAgain(#[source] Mismatch),
    /// The caller wants what no blob of this size has.
    #[error("there are no bytes {}-{} in a blob of {size}", range.start, range.end)]
    BeyondTheEnd {
        /// What was wanted.
        range: std::ops::Range<u64>,
        /// How long the blob is.
        size: u64,
    },
    /// Other writers changed a shared document again and again.
    #[error("others changed it {tries} times meanwhile")]
    Contended {
        /// How often it was written.
        tries: u32,
    },
    /// An answer that contradicts itself or the question.
    #[error("the registry's answer is wrong: {0}")]
    BadAnswer(String),
    /// A list without a sensible end.
    #[error("the list is longer than {most} {of}, the most that are read of it")]
    LongList {
        /// The limit.
        most: usize,
        /// Pages or entries.
        of: &'static str,
    },
    /// What only an attacker sends.
    #[error("refused what the registry asks for: {0}")]
    Hostile(String),
    /// The bytes to be pushed are not the ones that were named.
    #[error("the local bytes are not the ones to be pushed")]
    WrongSource(#[source] Mismatch),
    /// Credentials could not be looked up.
    #[error("the credentials are out of reach")]
    Credentials(#[source] CredentialError),
    /// The files of a client certificate hold none, or do not belong together.
    #[error("`{}` and `{}` are no client certificate and its key", certificate.display(), key.display())]
    UnusableCertificate {
        /// The certificate's file.
        certificate: std::path::PathBuf,
        /// The key's file.
        key: std::path::PathBuf,
        /// What is wrong with them.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This host has no usable TLS set-up.
    #[error("no HTTP client can be made on this host (are the CA certificates installed?)")]
    NoClient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A local file refused.
    #[error("a local file stands in the way")]
    Local(#[source] FsError),
}

impl Failure {
    /// See [`Kind`].
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::Unauthenticated { .. } => Kind::Unauthenticated,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::Changed(_) => Kind::Changed,
            // No password helps here.
            Self::Refused(_) | Self::TooLarge { .. } | Self::ClientCertificate { .. } => Kind::Refused,
            Self::Unsupported(_) | Self::UnknownContent { .. } => Kind::Unsupported,
            Self::Overloaded { .. }
            | Self::Unreachable { .. }
            | Self::NoTls { .. }
            | Self::Contended { .. } => Kind::Unavailable,
            Self::Altered { .. } | Self::Corrupt(_) | Self::CorruptAgain(_) | Self::BadAnswer(_) => {
                Kind::Corrupt
            }
            Self::Hostile(_) | Self::LongList { .. } => Kind::Hostile,
            Self::WrongSource(_)
            | Self::InTheClear { .. }
            | Self::BeyondTheEnd { .. }
            | Self::Credentials(_)
            | Self::UnusableCertificate { .. }
            | Self::NoClient(_)
            | Self::Local(_) => Kind::Local,
        }
    }

    /// Whether what was sent is more than the registry, or something on the way, takes.
    pub fn is_too_large(&self) -> bool {
        self.status() == Some(413)
    }

    /// Whether the registry sent other bytes than it named.
    pub fn is_other_bytes(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::CorruptAgain(_))
    }

    /// Whether there is no room left where a local file is written.
    pub fn is_disk_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Local(files) if matches!(files.source.kind(), StorageFull | QuotaExceeded))
    }

    /// What a status that is no success means.
    pub(crate) fn of_status(refusal: Refusal) -> Self {
        match refusal.status {
            401 => Self::Unauthenticated { refusal, hint: "are the credentials right?" },
            403 => Self::Forbidden(refusal),
            404 | 410 => Self::NotFound(refusal),
            405 | 501 => Self::Unsupported(refusal),
            412 => Self::Changed(refusal),
            408 | 429 | 499 | 500..=599 => Self::Overloaded { refusal, tries: 1 },
            _ => Self::Refused(refusal),
        }
    }

    /// The status in it, if it is a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::NotFound(refusal)
            | Self::Unauthenticated { refusal, .. }
            | Self::Forbidden(refusal)
            | Self::Changed(refusal)
            | Self::Refused(refusal)
            | Self::Unsupported(refusal)
            | Self::TooLarge { refusal, .. }
            | Self::Overloaded { refusal, .. } => Some(refusal.status),
            _ => None,
        }
    }
}

impl From<FsError> for Failure {
    fn from(source: FsError) -> Self {
        Self::Local(source)
    }
}
