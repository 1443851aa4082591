//! What is wrong with a file: every finding at once, each with its place. Rendered for people by
//! `Display`, for tools by `Serialize`.

use std::fmt;

use serde::Serialize;

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", render::render(self))]
pub struct ConfigError {
    /// The file, as the caller named it.
    pub file: String,
    /// What is wrong, in the order of the file; never empty.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The dotted key path, such as `artifacts.kernels.demo.variants[0].path`; empty for the whole file.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
    /// The line's text, safe to print: clipped, without control characters.
    pub snippet: String,
    /// Where in `snippet` the marked part starts, in characters from 0.
    pub mark_start: usize,
    /// How many characters of `snippet` are marked; at least 1.
    pub mark_length: usize,
    /// What to do about it, if there is more to say.
    pub hint: Option<String>,
}

mod render {
    pub(super) use super::*;
    pub(super) fn render(error: &ConfigError) -> String {
        format!("{}", error.findings.len())
    }
}
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
