//! Names that come in requests: repositories, tags, digests. Everything that becomes a key has passed through here.
//!
//! The grammar is the OCI distribution-spec's, read strictly: no percent-encoding, no empty part, no dot at a part's edge, so that
//! nothing can leave its place in the storage.

use std::fmt;
use std::str::FromStr;

use port_model::Digest;

/// Longest repository name, in characters: what other registries take, host included.
const LONGEST_REPOSITORY: usize = 255;
/// Longest part of a repository name, which is a directory's name.
const LONGEST_PART: usize = 200;
/// Longest tag of the distribution-spec.
const LONGEST_TAG: usize = 128;

/// A text that is not the name that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: {reason}")]
pub struct NameError {
    text: String,
    what: &'static str,
    reason: &'static str,
}

/// The name of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = |reason| NameError { text: shortened(text), what: "repository name", reason };
        if text.len() > LONGEST_REPOSITORY {
            return Err(wrong("expected at most 255 characters"));
        }
        if text.split('/').all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        Err(wrong(
            "expected parts of lower-case letters and digits, joined by `/`, with `.`, `_`, `__` or `-` inside",
        ))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_part(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = part.bytes().next().is_some_and(word) && part.bytes().last().is_some_and(word);
    let mut separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    };
    part.len() <= LONGEST_PART && edges && separators.all(fits)
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if starts && text.len() <= LONGEST_TAG && text.bytes().all(inside) {
            return Ok(Self(text.to_owned()));
        }
        let reason = "expected at most 128 letters, digits, `.`, `_` and `-`, the first no `.` or `-`";
        Err(NameError { text: shortened(text), what: "tag", reason })
    }
}

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagOrDigest {
    /// A name that may move.
    Tag(Tag),
    /// The manifest itself.
    Digest(Digest),
}

impl FromStr for TagOrDigest {
    type Err = String;

    /// A colon makes it a digest: a malformed digest is never taken for a tag.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            return text
                .parse()
                .map(Self::Digest)
                .map_err(|error: port_model::DigestError| error.to_string());
        }
        text.parse().map(Self::Tag).map_err(|error: NameError| error.to_string())
    }
}

/// What a message repeats of a text from outside.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_grammar_of_the_specification_passes() {
        for good in ["a", "port/demo-kernel", "a.b/c_d/e__f/g---h", "127.0.0.1__5510/x", "0"] {
            assert_eq!(good.parse::<RepositoryName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a/..", "..", "a/.b", "a.", "-a", "a___b", "a..b", "a_.b",
            "a\\b", "a%2e", "a\0b", "ä", "a b", "_a", &long,
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_malformed_digest_is_no_tag() {
        assert!("sha256:baddigeststring".parse::<TagOrDigest>().is_err());
        assert!("md5:d41d8cd98f00b204e9800998ecf8427e".parse::<TagOrDigest>().is_err());
        for bad in ["", ".a", "-a", "a/b", "a%20", "..", &"a".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad:?} was taken");
        }
        assert!("v1-x86_64-firecracker-standard".parse::<Tag>().is_ok());
    }
}
