//! `registry/repository:version[@digest]`, the logical name of an artifact (acceptance P-1, P-2).
//!
//! The parser is written by hand so that an error names the part that is wrong. The grammar is the OCI
//! distribution-spec's, narrowed where a part becomes a directory: no part starts with a dot.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, DigestError};
use crate::path_part;
use crate::variant::Variant;

/// Longest tag of the OCI distribution-spec, in characters.
const LONGEST_VERSION: usize = 128;
/// Longest repository name that registries take in practice, in characters.
const LONGEST_REPOSITORY: usize = 255;

/// The logical name of an artifact. Valid by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    version: String,
    digest: Option<Digest>,
}

/// A part of a reference, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferencePart {
    /// Host and optional port, or a logical name such as `demo-fs`.
    Registry,
    /// Path segments joined by `/`.
    Repository,
    /// What registries call a tag.
    Version,
}

impl fmt::Display for ReferencePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registry => "registry",
            Self::Repository => "repository",
            Self::Version => "version",
        })
    }
}

/// A text that is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// There is no `/` between registry and repository.
    #[error("`{0}` is not a reference: expected `registry/repository:version`, found no `/`")]
    NoRepository(String),
    /// There is no `:version` at the end.
    #[error("`{0}` is not a reference: expected `registry/repository:version`, found no version")]
    NoVersion(String),
    /// One part breaks its rule.
    #[error("the {part} `{text}` of a reference {reason}")]
    BadPart {
        /// Which part.
        part: ReferencePart,
        /// The part as written.
        text: String,
        /// The rule, as "must …".
        reason: String,
    },
    /// The digest behind `@` is not one.
    #[error("the digest of reference `{reference}` cannot be read")]
    BadDigest {
        /// The whole text.
        reference: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
}

impl Reference {
    /// Builds a reference from its parts, as `port.toml` gives them.
    ///
    /// # Errors
    /// [`ReferenceError::BadPart`] naming the first part that breaks its rule.
    pub fn new(registry: &str, repository: &str, version: &str) -> Result<Self, ReferenceError> {
        check_registry(registry).map_err(|r| bad(ReferencePart::Registry, registry, r))?;
        check_repository(repository).map_err(|r| bad(ReferencePart::Repository, repository, r))?;
        path_part::check(version, LONGEST_VERSION)
            .and_then(|()| {
                if version.starts_with('-') { Err("must not start with `-`".to_owned()) } else { Ok(()) }
            })
            .map_err(|r| bad(ReferencePart::Version, version, r))?;
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            version: version.to_owned(),
            digest: None,
        })
    }

    /// The same name, pinned to one digest.
    pub fn with_digest(self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// Host and optional port, or a logical name.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path segments joined by `/`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The version, which registries call tag.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The digest behind `@`, if there is one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The published tag of one variant: `<version>-<arch>-<substrate>-<mode>` (acceptance Pu-20).
    pub fn variant_tag(&self, variant: Variant) -> String {
        format!("{}-{}", self.version, variant.tag_suffix())
    }

    /// `<registry>/<repository>:<variant tag>`, the published name of one variant.
    pub fn variant_name(&self, variant: Variant) -> String {
        format!("{}/{}:{}", self.registry, self.repository, self.variant_tag(variant))
    }

    /// `<registry>/<repository>/<version>/<arch>/<substrate>/<mode>`: the directory of one variant below a
    /// store, cache or hosted root (acceptance P-37 … P-39). Every part was checked, so it stays below.
    pub fn variant_directory(&self, variant: Variant) -> PathBuf {
        let mut path = PathBuf::from(&self.registry);
        path.extend(self.repository.split('/'));
        path.push(&self.version);
        path.push(variant.directory());
        path
    }
}

fn bad(part: ReferencePart, text: &str, reason: String) -> ReferenceError {
    ReferenceError::BadPart { part, text: text.to_owned(), reason }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| "must hold an IPv6 address between `[` and `]`".to_owned())?;
            ("", if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) })
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    if !registry.starts_with('[') {
        path_part::check(host, 253)?;
    }
    match port {
        Some(port) if !matches!(port.parse::<u16>(), Ok(1..)) || port.starts_with(['+', '0']) => {
            Err(format!("must have a port between 1 and 65535, found `{port}`"))
        }
        _ => Ok(()),
    }
}

fn check_repository(repository: &str) -> Result<(), String> {
    if repository.len() > LONGEST_REPOSITORY {
        return Err(format!("must be at most {LONGEST_REPOSITORY} characters, found {}", repository.len()));
    }
    for segment in repository.split('/') {
        path_part::check(segment, LONGEST_REPOSITORY).map_err(|reason| {
            if repository == segment { reason } else { format!("has a segment `{segment}` that {reason}") }
        })?;
        if let Some(c) = segment.chars().find(char::is_ascii_uppercase) {
            return Err(format!("must be lower case (OCI distribution-spec), found {c:?}"));
        }
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
        if edge(segment.chars().next()) || edge(segment.chars().last()) {
            return Err(format!("has a segment `{segment}` that must start and end with a letter or digit"));
        }
    }
    Ok(())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.version)?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (registry, rest) =
            name.split_once('/').ok_or_else(|| ReferenceError::NoRepository(text.to_owned()))?;
        let (repository, version) =
            rest.rsplit_once(':').ok_or_else(|| ReferenceError::NoVersion(text.to_owned()))?;
        let reference = Self::new(registry, repository, version)?;
        match digest.map(str::parse) {
            None => Ok(reference),
            Some(Ok(digest)) => Ok(reference.with_digest(digest)),
            Some(Err(source)) => Err(ReferenceError::BadDigest { reference: text.to_owned(), source }),
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variant::{Architecture, ProtectionMode, Substrate};
    use proptest::prelude::*;

    #[test]
    fn p_1_p_2_nested_repositories_stay_nested_in_paths() {
        let reference: Reference = "demo-fs/port/demo-kernel:v1".parse().unwrap();
        assert_eq!(
            (reference.registry(), reference.repository(), reference.version()),
            ("demo-fs", "port/demo-kernel", "v1")
        );
        let variant = Variant::new(Architecture::X86_64, Substrate::Firecracker, ProtectionMode::Standard);
        assert_eq!(
            reference.variant_directory(variant),
            PathBuf::from("demo-fs/port/demo-kernel/v1/x86_64/firecracker/standard")
        );
        assert_eq!(reference.variant_tag(variant), "v1-x86_64-firecracker-standard");
    }

    #[test]
    fn the_error_names_the_part() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Reference>().unwrap_err().to_string(), expected);
        };
        check(
            "vmlinux",
            "`vmlinux` is not a reference: expected `registry/repository:version`, found no `/`",
        );
        check(
            "ghcr.io/acme/demo",
            "`ghcr.io/acme/demo` is not a reference: expected `registry/repository:version`, found no version",
        );
        check(
            "ghcr.io:99999/acme:v1",
            "the registry `ghcr.io:99999` of a reference must have a port between 1 and 65535, found `99999`",
        );
        check(
            "r/a/../b:v1",
            "the repository `a/../b` of a reference has a segment `..` that must not start with `.`",
        );
        check("r//b:v1", "the repository `/b` of a reference has a segment `` that must not be empty");
        check(
            "r/Acme:v1",
            "the repository `Acme` of a reference must be lower case (OCI distribution-spec), found 'A'",
        );
        check("r/a:", "the version `` of a reference must not be empty");
        check("r/a:..", "the version `..` of a reference must not start with `.`");
    }

    #[test]
    fn c_6_no_part_can_leave_its_root() {
        for (registry, repository, version) in [
            ("..", "a", "v1"),
            ("r", "..", "v1"),
            ("r", "a/..", "v1"),
            ("r", "a", ".."),
            ("/etc", "a", "v1"),
            ("r", "/a", "v1"),
            ("r", "a", "v/1"),
            ("r", "a\\b", "v1"),
        ] {
            assert!(Reference::new(registry, repository, version).is_err());
        }
    }

    #[test]
    fn ports_and_ipv6_are_hosts() {
        for good in ["127.0.0.1:5510/port/demo-kernel:v1", "[::1]:5000/a:b", "localhost:5000/a-b/c_d:1.2"] {
            assert_eq!(good.parse::<Reference>().unwrap().to_string(), good);
        }
    }

    proptest! {
        #[test]
        fn round_trips(
            registry in "[a-z][a-z0-9-]{0,10}(:[1-9][0-9]{0,3})?",
            repository in "[a-z0-9]{1,5}(/[a-z0-9]{1,5}){0,3}",
            version in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
        ) {
            let reference = Reference::new(&registry, &repository, &version).unwrap();
            prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
        }

        #[test]
        fn never_panics_and_never_escapes(text in ".{0,60}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let variant =
                    Variant::new(Architecture::Aarch64, Substrate::Qemu, ProtectionMode::Standard);
                let path = reference.variant_directory(variant);
                prop_assert!(path.is_relative());
                prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
            }
        }
    }
}
