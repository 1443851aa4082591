//! What a manifest is asked for by: a tag or a digest.

use std::fmt;
use std::str::FromStr;

use port_model::{Digest, Reference, ReferenceError};

use crate::error::Subject;

/// A tag of a repository. Valid by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag below which referrers of a manifest are listed where the registry has no referrers API
    /// (distribution-spec, "Referrers Tag Schema").
    pub fn of_referrers(subject: &Digest) -> Self {
        // Off-spec: none. The spec cuts at 128 characters; `sha512-` and 128 digits are longer than that.
        Self(format!("{}-{}", subject.algorithm().as_str(), subject.hex()).chars().take(128).collect())
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Reference::new("x", "x", text).map(|_| Self(text.to_owned()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TagOrDigest {
    /// Whatever the tag points to now.
    Tag(Tag),
    /// These very bytes.
    Digest(Digest),
}

impl TagOrDigest {
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::Tag(tag) => Subject::Tag(tag.0.clone()),
            Self::Digest(digest) => Subject::Digest(digest.clone()),
        }
    }
}

impl From<Tag> for TagOrDigest {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for TagOrDigest {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl fmt::Display for TagOrDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_obey_the_grammar() {
        for good in ["v1", "_x", "1.2-rc_3", "sha256-abc"] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", "-x", ".x", "a/b", "a?b", "a b", "a:b", &"x".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }
}
