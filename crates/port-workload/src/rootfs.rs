//! What a workload stands on: the forms of `storage.rootfs` (acceptance V-39, Vu-19, C-46).

use std::path::PathBuf;

use port_model::{Digest, FileName, Reference, suggest};
use serde::Serialize;

use crate::manifest::STORED;

/// What starts a registry reference.
pub const PUBLISHED: &str = "oci://";
/// What starts the name of an artifact of `port.toml`.
pub(crate) const ARTIFACT: &str = "artifact://";
/// What starts the name of a base image.
pub(crate) const BASE_IMAGE: &str = "base-image://";

/// Where a root file system comes from. Whether it is there is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootSource {
    /// A directory or an image on this host.
    Path(PathBuf),
    /// Content of the local store.
    Stored(Digest),
    /// An image in a registry.
    Published(#[serde(serialize_with = "as_text")] Reference),
    /// A guest image of `port.toml`.
    Artifact(String),
    /// A base image.
    BaseImage(String),
}

fn as_text<S: serde::Serializer>(reference: &Reference, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reference)
}

impl RootSource {
    /// Reads `storage.rootfs`. The error completes a finding.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(digest) = text.strip_prefix(STORED) {
            return stored(digest).map(Self::Stored);
        }
        if let Some(reference) = text.strip_prefix(PUBLISHED) {
            return Self::published(reference);
        }
        if let Some(name) = text.strip_prefix(ARTIFACT) {
            return name_of(name).map(Self::Artifact);
        }
        if let Some(name) = text.strip_prefix(BASE_IMAGE) {
            return name_of(name).map(Self::BaseImage);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            let known = [STORED, PUBLISHED, ARTIFACT, BASE_IMAGE];
            let nearest = suggest::did_you_mean(&format!("{scheme}://"), &known);
            return Err(format!(
                "expected a path or one of {}, found `{scheme}://`{nearest}",
                known.join(", ")
            ));
        }
        Ok(Self::Path(text.into()))
    }

    /// Reads `workload.image`.
    pub fn published(text: &str) -> Result<Self, String> {
        text.parse().map(Self::Published).map_err(|error: port_model::ReferenceError| error.to_string())
    }
}

/// The digest behind `cas://`: SHA-256, since everything behind it is read from the store (acceptance Vu-19, C-46).
pub(crate) fn stored(digest: &str) -> Result<Digest, String> {
    const EXPECTED: &str = "expected `cas://sha256:` and 64 hexadecimal digits";
    if digest.is_empty() {
        return Err(format!("{EXPECTED}, found `cas://` alone"));
    }
    let parsed =
        Some(digest).filter(|digest| digest.starts_with("sha256:")).and_then(|digest| digest.parse().ok());
    parsed.ok_or_else(|| format!("{EXPECTED}, found `cas://{digest}`"))
}

fn name_of(name: &str) -> Result<String, String> {
    let parsed = name.parse::<FileName>();
    parsed.map(|name| name.to_string()).map_err(|_| {
        format!("expected a name of letters, digits, `.`, `_` and `-`, no `.` first, found `{name}`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_39_vu_19_c_46_the_forms_of_a_root() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, expected) in [
            ("/srv/root", RootSource::Path("/srv/root".into())),
            ("root.erofs", RootSource::Path("root.erofs".into())),
            (&format!("cas://{digest}"), RootSource::Stored(digest.parse().unwrap())),
            ("oci://ghcr.io/acme/web:v1", RootSource::Published("ghcr.io/acme/web:v1".parse().unwrap())),
            ("artifact://demo-rootfs", RootSource::Artifact("demo-rootfs".into())),
            ("base-image://ubuntu", RootSource::BaseImage("ubuntu".into())),
        ] {
            assert_eq!(RootSource::parse(text), Ok(expected), "{text}");
        }
        for (text, part) in [
            ("cas://", "found `cas://` alone"),
            ("cas://sha256:abc123", "64 hexadecimal digits"),
            (&format!("cas://sha512:{}", "0a".repeat(64)), "sha256"),
            (&format!("cas://sha256:{}", "0A".repeat(32)), "64 hexadecimal"),
            ("oci://web", "registry/repository:version"),
            ("artifact://../x", "expected a name"),
            ("base-image://", "expected a name"),
            ("art1fact://x", "did you mean `artifact://`?"),
        ] {
            let error = RootSource::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
