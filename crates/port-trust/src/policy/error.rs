//! What is wrong with a policy, and where.

use std::fmt;

/// A policy that cannot be used. Nothing is trusted by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the policy `{file}`: {problem}")]
pub struct PolicyError {
    /// Where it lies.
    pub file: String,
    /// What is wrong.
    pub problem: PolicyProblem,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// The line, where it is known.
    pub line: Option<usize>,
    /// The dotted key path; empty for the whole file.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
}

impl PolicyError {
    pub(super) fn new(file: &str, problem: PolicyProblem) -> Self {
        Self { file: file.to_owned(), problem }
    }
}

impl PolicyProblem {
    pub(super) fn at(key: &str, message: &str) -> Self {
        Self { line: None, key: key.to_owned(), message: message.to_owned() }
    }

    pub(super) fn on_line(line: usize, message: String) -> Self {
        Self { line: Some(line), key: String::new(), message }
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}
