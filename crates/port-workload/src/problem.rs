//! Something wrong with a manifest, by its key. Where that key stands is the document's to say: a manifest built in
//! code has no place at all.

use std::fmt;

use port_document::Severity;

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the manifest cannot be used.
    pub severity: Severity,
    /// The key's path, as `network.ports[0]`; empty for the whole manifest.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to do about it, if there is more to say.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.key, self.message)
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// `key` cannot be used as it is.
    pub(crate) fn error(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.push(Severity::Error, key.into(), message.into(), None);
    }

    /// The same, and there is more to say about it.
    pub(crate) fn error_with_hint(
        &mut self,
        key: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Severity::Error, key.into(), message.into(), Some(hint.into()));
    }

    /// `key` says something else than was probably meant.
    pub(crate) fn warning(
        &mut self,
        key: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Severity::Warning, key.into(), message.into(), Some(hint.into()));
    }

    fn push(&mut self, severity: Severity, key: String, message: String, hint: Option<String>) {
        self.0.push(Problem { severity, key, message, hint });
    }

    /// What `parsed` holds; its error is one of `key`.
    pub(crate) fn take<T, E: fmt::Display>(&mut self, key: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.error(key, error.to_string())).ok()
    }
}
