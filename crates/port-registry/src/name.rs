//! The two names of a place in a registry: its host and a repository. Valid by construction.
//!
//! The grammar is the one of [`port_model::Reference`]; this is not a second parser.

use std::fmt;
use std::str::FromStr;

use port_model::{Reference, ReferenceError};

/// Any valid part, to check the other parts of a reference alone.
const VALID: &str = "x";

/// A registry as references name it: host and optional port, such as `ghcr.io` or `[::1]:5000`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryHost(String);

impl RegistryHost {
    /// The text, as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is one of the names of Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        matches!(self.0.as_str(), "docker.io" | "index.docker.io" | "registry-1.docker.io")
    }
}

impl FromStr for RegistryHost {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Reference::new(text, VALID, VALID).map(|_| Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository of a registry: path segments joined by `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Reference::new(VALID, text, VALID).map(|_| Self(text.to_owned()))
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host and repository of a reference, which is valid already.
pub fn names_of(reference: &Reference) -> (RegistryHost, RepositoryName) {
    (
        RegistryHost(reference.registry().to_ascii_lowercase()),
        RepositoryName(reference.repository().to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_obey_the_grammar_of_references() {
        for good in ["ghcr.io", "127.0.0.1:5510", "[::1]:5000", "localhost"] {
            assert_eq!(good.parse::<RegistryHost>().unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "user@host", "host:0", "host?x", "host#x"] {
            assert!(bad.parse::<RegistryHost>().is_err(), "{bad}");
        }
        assert!("port/demo-kernel".parse::<RepositoryName>().is_ok());
        for bad in ["", "a//b", "../x", "A", "a?b", "a/../b", "a%2fb"] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }
}
