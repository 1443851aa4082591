//! What is wrong with a file: every finding at once, each with its place. Rendered for people by
//! `Display`, for tools by `Serialize`.

use std::fmt;

use serde::Serialize;

/// How many findings `Display` shows: the rest of a hopeless file helps nobody.
const MOST_SHOWN: usize = 40;

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct DocumentError {
    /// The file, as the caller named it.
    pub file: String,
    /// What is wrong, in the order of the file, and what else was noticed; never without an error.
    pub findings: Vec<Finding>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The document cannot be used.
    Error,
    /// It can, and probably says something else than was meant.
    Warning,
}

/// One thing that is wrong, and where. Every text is safe to print: no control characters, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The dotted key path, such as `artifacts.kernels.demo.variants[0].path`; empty for the whole file.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
    /// The line's text, clipped; `…` stands where text was left out.
    pub snippet: String,
    /// Where in `snippet` the marked part starts, in characters from 0.
    pub mark_start: usize,
    /// How many characters of `snippet` are marked, at least 1.
    pub mark_length: usize,
    /// What to do about it, if there is more to say.
    pub hint: Option<String>,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.findings.len();
        write!(f, "cannot use `{}`: {count} problem{}", self.file, if count == 1 { "" } else { "s" })?;
        for finding in self.findings.iter().take(MOST_SHOWN) {
            write!(f, "\n  {}:{}:{}: {finding}", self.file, finding.line, finding.column)?;
        }
        match count.saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  … and {more} more"),
        }
    }
}

/// The message, then the line with a mark below, then the hint.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        writeln!(f, "{}", self.message)?;
        writeln!(f, "{:>7} | {}", self.line, self.snippet)?;
        write!(f, "{:>7} | {}{}", "", " ".repeat(self.mark_start), "^".repeat(self.mark_length))?;
        match &self.hint {
            Some(hint) => write!(f, "\n{:>7} = hint: {hint}", ""),
            None => Ok(()),
        }
    }
}
