//! Where manifests are: `registry/repository:tag[@digest]`, or `oci:DIRECTORY:NAME` for an image layout on disk.
//!
//! Invariant: every part was checked; a name from here is compared and written, never made a path.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use port_model::{Digest, Reference};
use port_registry::{RegistryHost, RepositoryName, Tag};

use crate::copy::CopyError;

/// What an image layout's place starts with.
const LAYOUT: &str = "oci:";
/// What a digest behind a name starts with.
const DIGESTS: [&str; 2] = ["@sha256:", "@sha512:"];
/// The longest name in a layout, in characters.
const LONGEST_NAME: usize = 512;

/// One manifest or index, somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a registry.
    Registry {
        /// Which registry.
        registry: RegistryHost,
        /// Which repository.
        repository: RepositoryName,
        /// Below which tag.
        tag: Option<Tag>,
        /// With which digest.
        digest: Option<Digest>,
    },
    /// In an image layout.
    Layout {
        /// The directory.
        directory: PathBuf,
        /// Below which name.
        name: Option<String>,
        /// With which digest.
        digest: Option<Digest>,
    },
}

impl Place {
    /// The registry, if it is in one.
    pub(crate) fn registry(&self) -> Option<&RegistryHost> {
        match self {
            Self::Registry { registry, .. } => Some(registry),
            Self::Layout { .. } => None,
        }
    }

    /// The tag or name.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Registry { tag, .. } => tag.as_ref().map(Tag::as_str),
            Self::Layout { name, .. } => name.as_deref(),
        }
    }

    /// The digest behind `@`.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Registry { digest, .. } | Self::Layout { digest, .. } => digest.as_ref(),
        }
    }

    /// The place of a reference, whose version is `tag`.
    pub(crate) fn of_reference(reference: &Reference, tag: Tag) -> Self {
        let (registry, repository) = port_registry::names_of(reference);
        Self::Registry { registry, repository, tag: Some(tag), digest: None }
    }
}

impl FromStr for Place {
    type Err = CopyError;

    fn from_str(text: &str) -> Result<Self, CopyError> {
        let wrong = |reason: String| CopyError::Place { text: text.to_owned(), reason };
        // Names in layouts may have an `@` of their own.
        let at = DIGESTS.iter().filter_map(|start| text.rfind(start)).max();
        let (name, digest) = match at.map(|at| text.split_at(at)) {
            Some((name, digest)) => {
                let digest = digest.trim_start_matches('@').parse();
                (name, Some(digest.map_err(|error| wrong(format!("{error}")))?))
            }
            None => (text, None),
        };
        let place = match name.strip_prefix(LAYOUT) {
            Some(rest) => layout(rest, digest).map_err(wrong)?,
            None => registry(name, digest).map_err(wrong)?,
        };
        if place.name().is_none() && place.digest().is_none() {
            return Err(wrong("it has neither a tag nor a digest".to_owned()));
        }
        Ok(place)
    }
}

/// `DIRECTORY:NAME`, split at the first colon: names have colons more often than directories do.
fn layout(text: &str, digest: Option<Digest>) -> Result<Place, String> {
    let (directory, name) = text.split_once(':').unwrap_or((text, ""));
    if directory.is_empty() {
        return Err("expected `oci:DIRECTORY:NAME`, found no directory".to_owned());
    }
    if !name.is_empty() {
        check_name(name)?;
    }
    let name = Some(name.to_owned()).filter(|name| !name.is_empty());
    Ok(Place::Layout { directory: directory.into(), name, digest })
}

/// The grammar of `org.opencontainers.image.ref.name` (OCI image-spec, "Annotations").
fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric();
    let known = |c: char| plain(c) || "-._:@+".contains(c);
    let component = |part: &str| {
        part.starts_with(plain) && part.ends_with(plain) && part.chars().all(known) && !part.contains("..")
    };
    match name.split('/').find(|part| !component(part)) {
        _ if name.len() > LONGEST_NAME => {
            Err(format!("its name has {} characters: at most {LONGEST_NAME} are taken", name.len()))
        }
        Some(part) => Err(format!(
            "its name has the part `{part}`: expected letters, digits and single `-._:@+` between them"
        )),
        None => Ok(()),
    }
}

fn registry(text: &str, digest: Option<Digest>) -> Result<Place, String> {
    let last = text.rsplit('/').next().unwrap_or_default();
    // A reference has a version; with a digest it can be left out, and any valid one stands in for it.
    let tagged = last.contains(':');
    let full = if !tagged && digest.is_some() { format!("{text}:x") } else { text.to_owned() };
    let reference: Reference = full.parse().map_err(|error: port_model::ReferenceError| error.to_string())?;
    let (registry, repository) = port_registry::names_of(&reference);
    let tag = if tagged { Some(reference.version().parse().map_err(|e| format!("{e}"))?) } else { None };
    Ok(Place::Registry { registry, repository, tag, digest })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry { registry, repository, .. } => write!(f, "{registry}/{repository}")?,
            Self::Layout { directory, .. } => write!(f, "{LAYOUT}{}", directory.display())?,
        }
        if let Some(name) = self.name() {
            write!(f, ":{name}")?;
        }
        match self.digest() {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl serde::Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_round_trip() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for good in [
            "127.0.0.1:5510/port/demo:v1".to_owned(),
            format!("ghcr.io/acme/demo:v1@{digest}"),
            format!("ghcr.io/acme/demo@{digest}"),
            "oci:out:v1".to_owned(),
            "oci:.port/store:127.0.0.1:5510/port/demo:v1-x86_64-firecracker-standard".to_owned(),
            format!("oci:out@{digest}"),
            "oci:out:team@home/x:v1".to_owned(),
            "oci:o@x:v1".to_owned(),
            format!("oci:out:team@v1@{digest}"),
            format!("oci:out:v1@sha512:{}", "a".repeat(128)),
        ] {
            assert_eq!(good.parse::<Place>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for (bad, expected) in [
            ("ghcr.io/acme/demo", "found no version"),
            ("oci:out", "neither a tag nor a digest"),
            ("oci::v1", "found no directory"),
            ("oci:out:../../etc/passwd", "the part `..`"),
            ("oci:out:a//b", "the part ``"),
            ("oci:out:a b", "the part `a b`"),
            ("r/a/../b:v1", "must not start with `.`"),
            ("r/a:v1@sha256:xyz", "sha256"),
            ("r/a:v1@latest", "`r/a:v1@latest`"),
            ("vmlinux", "found no `/`"),
        ] {
            let error = bad.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
