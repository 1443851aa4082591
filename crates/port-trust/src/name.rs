//! Under which name a manifest was signed, and which names a policy means.
//!
//! A name is `registry/repository`, without tag or digest: a tag moves, and the digest is what is signed. Patterns have `*` for a part
//! of one path component and `**` for anything.

use std::fmt;

use port_model::Reference;
use serde::{Serialize, Serializer};

/// `registry/repository`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignedName(String);

impl SignedName {
    /// Of its two parts.
    pub fn new(registry: &str, repository: &str) -> Self {
        // Docker's client and its library call the same place by three names.
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            other => other,
        };
        Self(format!("{registry}/{repository}"))
    }

    /// Of a reference.
    pub fn of(reference: &Reference) -> Self {
        Self::new(reference.registry(), reference.repository())
    }

    /// What a signer wrote: with a tag, a digest, or neither. `None` where that is no name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.split_once('@').map_or(text, |(name, _)| name);
        let (registry, rest) = text.split_once('/')?;
        let repository = rest.split_once(':').map_or(rest, |(repository, _)| repository);
        let known = |c: char| c.is_ascii_alphanumeric() || "-._:[]/".contains(c);
        let is_name = !registry.is_empty() && !repository.is_empty() && text.chars().all(known);
        is_name.then(|| Self::new(registry, repository))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SignedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SignedName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// The longest pattern, in characters.
const LONGEST: usize = 512;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The reason where it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]/*".contains(c);
        if let Some(found) = text.chars().find(|c| !known(*c)) {
            return Err(format!(
                "expected lower-case letters, digits and `-._:/*`, found `{}`",
                found.escape_default()
            ));
        }
        if text.is_empty() || text.len() > LONGEST || (!text.contains('/') && text != "**") {
            return Err(format!("expected `registry/repository` in at most {LONGEST} characters, or `**`"));
        }
        if text.contains("***") {
            return Err("expected `*` or `**`, found `***`".to_owned());
        }
        let repository = text.split_once('/').map_or("", |(_, repository)| repository);
        if repository.contains(':') {
            return Err("expected no tag: a tag moves, and says nothing about who signed".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether `name` is meant.
    pub fn matches(&self, name: &SignedName) -> bool {
        matches(self.0.as_bytes(), name.as_str().as_bytes())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One row per byte of the pattern, so that no pattern takes more than its length times that of the name.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    let mut rest = pattern;
    while let [byte, after @ ..] = rest {
        let double = *byte == b'*' && after.first() == Some(&b'*');
        rest = if double { after.get(1..).unwrap_or_default() } else { after };
        let mut next = vec![false; reached.len()];
        let mut open = false;
        for (index, (here, slot)) in reached.iter().zip(next.iter_mut()).enumerate() {
            let before = index.checked_sub(1).and_then(|before| name.get(before));
            if *byte == b'*' {
                open = *here || (open && (double || before != Some(&b'/')));
                *slot = open;
            } else {
                let from = index.checked_sub(1).and_then(|before| reached.get(before)).copied();
                *slot = from.unwrap_or(false) && before == Some(byte);
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_written() {
        for (pattern, name, expected) in [
            ("ghcr.io/acme/demo", "ghcr.io/acme/demo", true),
            ("ghcr.io/acme/demo", "ghcr.io/acme/demo2", false),
            ("ghcr.io/acme/*", "ghcr.io/acme/demo", true),
            ("ghcr.io/acme/*", "ghcr.io/acme/demo/deep", false),
            ("ghcr.io/acme/**", "ghcr.io/acme/demo/deep", true),
            ("ghcr.io/acme/**", "ghcr.io/acmeevil/demo", false),
            ("ghcr.io/acme/**", "evil.io/ghcr.io/acme/demo", false),
            ("127.0.0.1:*/**", "127.0.0.1:5510/port/demo", true),
            ("*/port/*-kernel", "r/port/demo-kernel", true),
            ("*/port/*-kernel", "r/port/demo", false),
            ("**", "anything.io/at/all", true),
            ("a/**/z", "a/b/c/z", true),
            ("a/**/z", "a/z", false),
        ] {
            let name = SignedName::parse(name).unwrap();
            assert_eq!(Pattern::parse(pattern).unwrap().matches(&name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for (text, expected) in [
            ("ghcr.io", "registry/repository"),
            ("ghcr.io/acme/demo:v1", "no tag"),
            ("ghcr.io/Acme/**", "found `A`"),
            ("a/***", "found `***`"),
            ("", "registry/repository"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn names_of_signers_are_read_without_what_moves() {
        for (text, expected) in [
            ("ghcr.io/acme/demo", Some("ghcr.io/acme/demo")),
            ("127.0.0.1:5510/acme/demo:v1", Some("127.0.0.1:5510/acme/demo")),
            ("ghcr.io/acme/demo@sha256:abc", Some("ghcr.io/acme/demo")),
            ("index.docker.io/library/debian", Some("docker.io/library/debian")),
            ("demo", None),
            ("ghcr.io/a b", None),
            ("", None),
        ] {
            assert_eq!(SignedName::parse(text).map(|name| name.0).as_deref(), expected, "{text}");
        }
    }
}
