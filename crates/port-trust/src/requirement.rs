//! What a manifest needs to be trusted: which keys, how many of them, and under which names they may have signed.

use crate::key::PublicKey;
use crate::name::{Pattern, SignedName};

/// A key and what people call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// Its name.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The keys that count.
    pub keys: Vec<NamedKey>,
    /// Keys that are known and do not count here: named in what is said, never counted.
    pub others: Vec<NamedKey>,
    /// How many different keys must have signed.
    pub threshold: usize,
    /// Under which names.
    pub identities: Identities,
}

/// Under which names a manifest may have been signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identities {
    /// Its own, where the signature says one.
    Own,
    /// One of these; a signature that says none is not taken.
    Listed(Vec<Pattern>),
}

impl Requirement {
    /// One signature by this key, under the manifest's own name.
    pub fn one_key(name: &str, key: PublicKey) -> Self {
        Self {
            keys: vec![NamedKey { name: name.to_owned(), key }],
            others: Vec::new(),
            threshold: 1,
            identities: Identities::Own,
        }
    }
}

impl Identities {
    /// Why a signature that says this name is not taken, where it is not.
    pub(crate) fn refuse(&self, own: Option<&SignedName>, said: Option<&SignedName>) -> Option<String> {
        match (self, own, said) {
            // Nothing to compare: a layout on disk has no name, a statement need not say one.
            (Self::Own, None, _) | (Self::Own, _, None) => None,
            (Self::Own, Some(own), Some(said)) if own == said => None,
            (Self::Own, Some(own), Some(said)) => {
                Some(format!("it was signed as `{said}`, expected `{own}`"))
            }
            (Self::Listed(patterns), _, Some(said))
                if patterns.iter().any(|pattern| pattern.matches(said)) =>
            {
                None
            }
            (Self::Listed(_), _, Some(said)) => {
                Some(format!("it was signed as `{said}`, which `identities` does not list"))
            }
            (Self::Listed(_), _, None) => Some("it says no name, and `identities` asks for one".to_owned()),
        }
    }
}
