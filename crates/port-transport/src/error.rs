//! What can go wrong on the way.

use port_content::FsError;

/// A failed download.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch `{url}`")]
pub struct TransportError {
    /// What was asked for.
    pub url: String,
    /// Why not.
    #[source]
    pub failure: Failure,
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The text is no URL that Port fetches.
    #[error("expected an http or https URL without user name or password")]
    BadUrl,
    /// This host has no usable TLS roots.
    #[error("no HTTP client can be made on this host (are the CA certificates installed?)")]
    NoClient {
        /// What is missing.
        #[source]
        source: reqwest::Error,
    },
    /// No answer, or the answer broke off more often than was tried.
    #[error("no complete answer after {tries} tries")]
    Unreachable {
        /// How often it was tried.
        tries: u32,
        /// The last reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server answered with redirects that Port does not follow: too many, or from https to http.
    #[error("the server leads where Port does not follow")]
    Redirect {
        /// Why it was not followed; without the address, which may hold a secret.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server answered that it will not.
    #[error("the server answered {status}")]
    Status {
        /// Status code and its words.
        status: String,
        /// Whether the thing is not there (404 or 410).
        not_found: bool,
    },
    /// More bytes than allowed.
    #[error("the answer is larger than {limit} bytes, the most that is read here")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The answer to a request for the rest does not continue where the first part ended.
    #[error("asked for the bytes from {asked} on, the server sent `{found}`")]
    WrongRange {
        /// Where the rest begins.
        asked: u64,
        /// The `Content-Range` that came.
        found: String,
    },
    /// The thing has another size than whoever asked for it was told.
    #[error("expected {expected} bytes, the server has {found}")]
    OtherSize {
        /// What was named.
        expected: u64,
        /// What the server says, or what came.
        found: u64,
    },
    /// The thing changed under the download more than once.
    #[error("the server's file changed while it was fetched")]
    Changed,
    /// A local file refused.
    #[error(transparent)]
    Files(#[from] FsError),
    /// The local file refused.
    #[error("the bytes cannot be written")]
    Write {
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Failure {
    /// Whether another source of the same thing may do better: nothing wrong was sent, it just was not had.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Status { .. } | Self::Redirect { .. })
    }
}
