//! What signing and verifying can fail with. "Not trusted" is a kind of its own: never "unavailable", never tried again.

use std::path::PathBuf;

use port_content::FsError;
use port_trust::{KeyError, PolicyError, Verdict};

use crate::copy::CopyError;

/// A failed verb about trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not enough keys signed it, or a policy takes nothing of this name.
    #[error("refusing `{name}`: {}", verdict.sentence())]
    NotTrusted {
        /// What, as the user names it.
        name: String,
        /// Why.
        verdict: Box<Verdict>,
    },
    /// A policy asks for signatures, and the files do not come from where there are any.
    #[error("refusing `{name}`: {reason}")]
    NoSignatures {
        /// What, as the user names it.
        name: String,
        /// Why there is none.
        reason: String,
        /// What gets one.
        remedy: String,
    },
    /// A policy that cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A file of a key that cannot be used.
    #[error("`{}` cannot be used as a key", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// A file that would be overwritten.
    #[error("`{}` is there already: a key is never overwritten", path.display())]
    KeyExists {
        /// Which file.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {reason}")]
    NoRandomness {
        /// Why.
        reason: String,
    },
    /// A statement that cannot be made.
    #[error("no statement of type `{kind}` can be made of `{what}`: {reason}")]
    NoStatement {
        /// Which type.
        kind: String,
        /// Of what.
        what: String,
        /// Why.
        reason: String,
    },
    /// What cannot be signed.
    #[error("`{what}` cannot be signed: {reason}")]
    Unsignable {
        /// What.
        what: String,
        /// Why.
        reason: String,
    },
    /// A command line that asks for nothing that can be decided.
    #[error("{0}")]
    Usage(String),
    /// The place.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A file.
    #[error(transparent)]
    Files(#[from] FsError),
}

impl From<port_registry::RegistryError> for TrustError {
    fn from(error: port_registry::RegistryError) -> Self {
        Self::Copy(error.into())
    }
}
