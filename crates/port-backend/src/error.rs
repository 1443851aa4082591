//! What can go wrong at a backend. The kind decides what the caller does; the text is for people.

use std::error::Error;
use std::fmt;

/// What kind of failure it is. Retries and exit codes ask for this, never for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The thing is not there; the place answered.
    NotFound,
    /// The place refuses this caller.
    Denied,
    /// The place cannot be reached, or cannot answer now.
    Unavailable,
    /// The place is there and could not do it: no room left, a broken disk.
    Failed,
    /// Something is there already, or somebody else changed it meanwhile.
    Conflict,
    /// What was found is not what it should be.
    Corrupt,
    /// The place, or this version of Port, cannot do it.
    Unsupported,
}

/// The reason of a [`ErrorKind::NotFound`] that is no failure of anything.
#[derive(Debug)]
pub struct NothingPublished;

impl fmt::Display for NothingPublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is published there")
    }
}

impl Error for NothingPublished {}

/// A failed backend operation.
#[derive(Debug)]
pub struct BackendError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// Where, as the user would write it.
    pub location: String,
    /// What was tried, as an infinitive: "fetch `vmlinux`".
    pub operation: String,
    /// Why.
    pub source: Box<dyn Error + Send + Sync>,
}

impl BackendError {
    /// An error of this kind.
    pub fn new(
        kind: ErrorKind,
        location: impl Into<String>,
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, location: location.into(), operation: operation.into(), source: source.into() }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} at `{}`", self.operation, self.location)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
