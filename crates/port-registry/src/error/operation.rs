//! What is done with a registry, and on what: the words that messages are made of.

use std::fmt;

use port_model::Digest;

/// What an operation was about, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The repository itself.
    Repository,
    /// A tag.
    Tag(String),
    /// A blob or manifest.
    Digest(Digest),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository => Ok(()),
            Self::Tag(tag) => write!(f, " `{tag}`"),
            Self::Digest(digest) => write!(f, " {digest}"),
        }
    }
}

/// What is done with a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Find the digest of a tag.
    Resolve,
    /// Read a manifest or index.
    FetchManifest,
    /// Read a blob.
    FetchBlob,
    /// Ask whether a blob is there.
    LookForBlob,
    /// Write a blob.
    PushBlob,
    /// Write a manifest or index.
    PushManifest,
    /// Ask whether pushing is allowed.
    ProbePush,
    /// Read the tags.
    ListTags,
    /// Read what refers to a manifest.
    ListReferrers,
}

impl Operation {
    pub(super) fn preposition(self) -> &'static str {
        match self {
            Self::PushBlob | Self::PushManifest | Self::ProbePush => "to",
            Self::FetchBlob | Self::FetchManifest => "from",
            Self::Resolve | Self::LookForBlob | Self::ListReferrers => "in",
            Self::ListTags => "of",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::FetchManifest => "fetch manifest",
            Self::FetchBlob => "fetch blob",
            Self::LookForBlob => "look for blob",
            Self::PushBlob => "push blob",
            Self::PushManifest => "push manifest",
            Self::ProbePush => "push",
            Self::ListTags => "list the tags",
            Self::ListReferrers => "list the referrers of",
        })
    }
}
