//! What can go wrong with a registry: which operation, where, on what, and of which kind.
//!
//! Invariant: no message holds a secret. URLs appear without their query (upload states and presigned targets
//! are secrets), and what a registry wrote is cut, and cleaned of control characters.

mod failure;
mod operation;

pub use failure::{Failure, Kind, Refusal};
pub use operation::{Operation, Subject};

use crate::name::{RegistryHost, RepositoryName};

/// A failed operation on a registry.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}{subject} {} `{registry}/{repository}`", operation.preposition())]
pub struct RegistryError {
    /// What was tried.
    pub operation: Operation,
    /// At which registry.
    pub registry: RegistryHost,
    /// In which repository.
    pub repository: RepositoryName,
    /// On what: a tag, a digest, or nothing.
    pub subject: Subject,
    /// Whether the registry is asked by plain HTTP.
    pub plain_http: bool,
    /// The names of the variables that the credentials are read from, where they are.
    pub variables: Option<Box<str>>,
    /// Why not.
    #[source]
    pub failure: Box<Failure>,
}

impl RegistryError {
    /// What kind of failure this is: what a caller decides by.
    pub fn kind(&self) -> Kind {
        self.failure.kind()
    }
}

/// Why a shared document was not changed.
#[derive(Debug)]
pub enum MergeError<E> {
    /// The registry's part of it.
    Registry(RegistryError),
    /// The merge itself refused.
    Refused(E),
}

/// A failure and all its causes in one line, for a note about what went on without it.
pub(crate) fn told(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut next = std::error::Error::source(failure);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// What somebody else wrote, fit for a message: cut, one line, no control characters.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 200;
    text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
