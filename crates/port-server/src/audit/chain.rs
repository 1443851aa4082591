//! The chain of lines: what a line says besides its entry, and whether a file is one unbroken chain. Reading needs no server.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::str::FromStr;

use jiff::Timestamp;
use port_content::FsError;
use port_content::fs;
use port_content::hashing::digest_of;
use serde::{Deserialize, Serialize};

use super::{AuditError, Entry};

/// The longest line, in bytes. What is written is bounded far below.
const LONGEST: u64 = 64 * 1024;
/// What the first line names as the one before it.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    pub(super) previous: String,
    #[serde(flatten)]
    pub(super) what: What,
}

/// What a line is about.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum What {
    /// A request.
    Request(Box<Entry>),
    /// The log itself.
    Log { log: Turn, version: u32, dropped: u64 },
}

/// The version of the lines (docs/formats/audit-log.md).
pub(super) const VERSION: u32 = 1;

/// A turn in the life of a log.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Turn {
    /// A server goes on with it; so many bytes of a torn line were dropped.
    Opened,
}

/// The end of a chain: how many lines, and the hash of the last. Written `<lines>:<hash>`; note it where the server cannot write, and
/// nobody can cut the log off before it unseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many lines.
    pub lines: u64,
    pub(super) hash: String,
}

impl Head {
    pub(super) fn empty() -> Self {
        Self { lines: 0, hash: NOTHING.to_owned() }
    }

    /// The head behind one more line.
    pub(super) fn after(&self, line: &[u8]) -> Self {
        Self { lines: self.lines.saturating_add(1), hash: digest_of(line).hex().to_owned() }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lines, self.hash)
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no head of an audit log: expected `LINES:SHA256`");
        let (lines, hash) = text.split_once(':').ok_or_else(wrong)?;
        let is_hash = hash.len() == NOTHING.len() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        match (lines.parse(), is_hash) {
            (Ok(lines), true) => Ok(Self { lines, hash: hash.to_ascii_lowercase() }),
            _ => Err(wrong()),
        }
    }
}

/// A log that is one unbroken chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its end.
    pub head: Head,
    /// How many bytes the chain has.
    pub bytes: u64,
    /// Bytes behind the last whole line: a server was killed there, or is writing.
    pub torn: u64,
}

/// Checks that a log is one unbroken chain, and holds the head that was noted, if one was.
///
/// # Errors
/// [`AuditError`], naming the first line that is wrong.
pub fn verify(path: &Path, noted: Option<&Head>) -> Result<Verified, AuditError> {
    let (file, _) = fs::open_regular(path)?;
    let mut reader = BufReader::new(file);
    let mut found = Verified { head: Head::empty(), bytes: 0, torn: 0 };
    let mut is_held = noted.is_none_or(|noted| *noted == found.head);
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = reader.by_ref().take(LONGEST + 1).read_until(b'\n', &mut text);
        let length = read.map_err(|source| FsError::new("read", path, source))? as u64;
        let line = found.head.lines + 1;
        if length > LONGEST {
            return Err(AuditError::TooLong { path: path.to_owned(), line, limit: LONGEST });
        }
        let Some(whole) = text.strip_suffix(b"\n") else {
            found.torn = length;
            break;
        };
        let broken = |reason| AuditError::Broken { path: path.to_owned(), line, reason };
        check(whole, &found.head).map_err(broken)?;
        found.head = found.head.after(whole);
        found.bytes += length;
        is_held |= noted.is_some_and(|noted| *noted == found.head);
    }
    match noted {
        Some(expected) if !is_held => {
            Err(AuditError::HeadMissing { path: path.to_owned(), expected: expected.clone() })
        }
        _ => Ok(found),
    }
}

fn check(text: &[u8], before: &Head) -> Result<(), String> {
    let line: Line = serde_json::from_slice(text).map_err(|error| format!("it cannot be read: {error}"))?;
    if line.sequence != before.lines + 1 {
        return Err(format!("expected the number {}, found {}", before.lines + 1, line.sequence));
    }
    if line.previous != before.hash {
        return Err(format!(
            "it follows the line {}, and the one before it is {}",
            line.previous, before.hash
        ));
    }
    Ok(())
}
