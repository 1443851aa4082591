//! Why a task failed: one finding or many, all of them told. A task never stops at its first finding where the
//! others could still be looked at.

use std::fmt;
use std::path::Path;

/// What every task returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// One line per finding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(Vec<String>);

impl Failure {
    pub(crate) fn new(finding: impl Into<String>) -> Self {
        Self(vec![finding.into()])
    }

    pub(crate) fn io(operation: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {operation} `{}`: {error}", path.display()))
    }

    /// Ok when there is nothing to tell.
    pub(crate) fn from_findings(findings: Vec<String>) -> Outcome {
        if findings.is_empty() { Ok(()) } else { Err(Self(findings)) }
    }

    pub(crate) fn findings(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| writeln!(f, "error: {finding}"))
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::new(format!("{error}; see `cargo xtask --help`"))
    }
}
