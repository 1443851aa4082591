//! Names of objects: parts that are safe in a path and in a URL, joined by `/`.

use std::fmt;
use std::path::PathBuf;

/// Longest part, in bytes: file systems take 255, and a file being written has more in its name.
const LONGEST_PART: usize = 230;
/// Longest key, in bytes; object stores take 1024.
const LONGEST: usize = 900;

/// The name of an object, or a prefix of names. Valid by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

/// A text that cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot name an object: it {reason}")]
pub struct KeyError {
    text: String,
    reason: &'static str,
}

impl Key {
    /// A key from its text.
    ///
    /// # Errors
    /// [`KeyError`] where a part is empty, hidden, too long, or holds what could leave a directory.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.into();
        let reason = match text.split('/').find_map(wrong_part) {
            None if text.len() <= LONGEST => return Ok(Self(text)),
            None => "is too long",
            Some(reason) => reason,
        };
        Err(KeyError { text, reason })
    }

    /// A key from parts that were checked already.
    pub(crate) fn of_checked(text: String) -> Self {
        debug_assert!(Self::new(text.as_str()).is_ok(), "{text} was not checked");
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a relative path.
    pub fn path(&self) -> PathBuf {
        self.0.split('/').collect()
    }
}

fn wrong_part(part: &str) -> Option<&'static str> {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'[' | b']');
    if part.is_empty() {
        Some("has an empty part")
    } else if part.starts_with('.') {
        Some("has a part that starts with `.`")
    } else if part.len() > LONGEST_PART {
        Some("has a part that is too long")
    } else if !part.bytes().all(allowed) {
        Some("has a part with other characters than letters, digits and `._-:[]`")
    } else {
        None
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_6_no_key_leaves_its_directory() {
        for bad in ["", "/a", "a/", "a//b", "a/../b", ".", "a/.b", "a\\b", "a\0", "a b", "%2e%2e", "ä"] {
            assert!(Key::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(Key::new("a".repeat(231)).is_err());
        let key = Key::new("artifacts/127.0.0.1:5510/port/demo-kernel/v1/vmlinux").unwrap();
        assert!(key.path().is_relative());
    }
}
