//! A path inside the guest, taken under the agent's root: no parent segment can leave it.
//!
//! Text only. Symbolic links are the agent's business, which resolves them under the same root.

use std::fmt;
use std::str::FromStr;

/// The longest guest path, in bytes: what Linux takes.
const MAX_LENGTH: usize = 4095;

/// A path with no parent segment, no empty segment and no leading slash; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestPath(String);

/// Text that is no guest path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("guest path `{found}`: expected {expected}")]
pub struct GuestPathError {
    found: String,
    expected: &'static str,
}

impl GuestPath {
    /// The path relative to the root; empty for the root itself.
    pub fn relative(&self) -> &str {
        &self.0
    }

    /// The directory and the last segment; none for the root itself.
    pub fn split(&self) -> Option<(Self, &str)> {
        match self.0.rsplit_once('/') {
            Some((parent, name)) => Some((Self(parent.to_owned()), name)),
            None if self.0.is_empty() => None,
            None => Some((Self(String::new()), &self.0)),
        }
    }
}

impl FromStr for GuestPath {
    type Err = GuestPathError;

    fn from_str(text: &str) -> Result<Self, GuestPathError> {
        let refuse = |expected| Err(GuestPathError { found: text.chars().take(200).collect(), expected });
        if text.is_empty() {
            return refuse("at least one character");
        }
        if text.len() > MAX_LENGTH {
            return refuse("at most 4095 bytes");
        }
        if text.contains('\0') {
            return refuse("no NUL byte");
        }
        let segments: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if segments.contains(&"..") {
            return refuse("no `..` segment");
        }
        Ok(Self(segments.join("/")))
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pu_45_paths_are_taken_under_the_root() {
        for (text, relative) in [
            ("/", ""),
            ("/etc/passwd", "etc/passwd"),
            ("etc//./passwd/", "etc/passwd"),
            ("/a..b/...", "a..b/..."),
        ] {
            assert_eq!(text.parse::<GuestPath>().unwrap().relative(), relative);
        }
        let path: GuestPath = "/a/b/c".parse().unwrap();
        let (parent, name) = path.split().unwrap();
        assert_eq!((parent.to_string().as_str(), name), ("/a/b", "c"));
        assert_eq!("/".parse::<GuestPath>().unwrap().split(), None);
        assert_eq!("x".parse::<GuestPath>().unwrap().split().unwrap().0.relative(), "");
    }

    #[test]
    fn pu_45_parent_segments_are_refused() {
        for text in ["..", "/..", "a/../b", "/a/..", "../../etc/passwd"] {
            let message = text.parse::<GuestPath>().unwrap_err().to_string();
            assert!(message.contains("no `..` segment"), "{message}");
        }
        assert!("".parse::<GuestPath>().is_err());
        assert!("a\0b".parse::<GuestPath>().is_err());
        assert!("a/".repeat(4000).parse::<GuestPath>().is_err());
    }
}
