//! The documents that registries hold: which kind a document is, and that it is not two at once.
//!
//! A document whose type says manifest and whose body says index would be read differently by different tools
//! (CVE-2021-41190), so such a one is refused. The content is otherwise not looked at.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Failure, quote};

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A Docker image manifest, version 2, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// All that are read, as an `Accept` header.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// Whether a document lists layers or other documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// A manifest: config and layers.
    Manifest,
    /// An index (or manifest list): manifests.
    Index,
}

/// The kind that a media type names.
pub fn kind_of(media_type: &str) -> Option<DocumentKind> {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => Some(DocumentKind::Manifest),
        OCI_INDEX | DOCKER_LIST => Some(DocumentKind::Index),
        _ => None,
    }
}

/// A media type without its parameters, in lower case.
pub(crate) fn plain(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The fields that tell the kinds apart. A field that comes twice is an error of the parser.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
    #[serde(rename = "fsLayers")]
    schema_one: Option<IgnoredAny>,
}

/// Checks that the bytes are a document of this media type and of no other.
pub(crate) fn check(media_type: &str, bytes: &[u8]) -> Result<DocumentKind, Failure> {
    let unknown = || Failure::UnknownContent { found: quote(media_type) };
    let kind = kind_of(media_type).ok_or_else(unknown)?;
    let shape: Shape = serde_json::from_slice(bytes)
        .map_err(|error| Failure::BadAnswer(format!("the {} is not well-formed: {error}", word(kind))))?;
    if let Some(field) = shape.media_type.filter(|field| field != media_type) {
        return Err(Failure::Hostile(format!(
            "a document that is sent as `{media_type}` and calls itself `{}`",
            quote(&field)
        )));
    }
    let (manifest, index) = (shape.config.is_some() || shape.layers.is_some(), shape.manifests.is_some());
    let wrong = match kind {
        DocumentKind::Manifest => index || shape.schema_one.is_some(),
        DocumentKind::Index => manifest || shape.schema_one.is_some(),
    };
    if wrong {
        return Err(Failure::Hostile(format!(
            "a document of type `{media_type}` with the fields of another"
        )));
    }
    match (kind, manifest, index) {
        (DocumentKind::Manifest, true, _) | (DocumentKind::Index, _, true) => Ok(kind),
        _ => Err(Failure::BadAnswer(format!("the {} lists nothing", word(kind)))),
    }
}

fn word(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Manifest => "manifest",
        DocumentKind::Index => "index",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn manifest_index_confusion_is_refused() {
        let check = |media_type: &str, body: &str| check(media_type, body.as_bytes()).map_err(|e| e.kind());
        assert_eq!(check(OCI_MANIFEST, r#"{"config":{},"layers":[]}"#), Ok(DocumentKind::Manifest));
        assert_eq!(check(OCI_INDEX, r#"{"manifests":[]}"#), Ok(DocumentKind::Index));
        for (media_type, body) in [
            (OCI_MANIFEST, r#"{"config":{},"layers":[],"manifests":[]}"#),
            (OCI_INDEX, r#"{"layers":[],"manifests":[]}"#),
            (OCI_MANIFEST, r#"{"manifests":[]}"#),
            (OCI_MANIFEST, r#"{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}"#),
            (DOCKER_MANIFEST, r#"{"config":{},"fsLayers":[]}"#),
        ] {
            assert_eq!(check(media_type, body), Err(Kind::Hostile), "{body}");
        }
        assert_eq!(check(OCI_INDEX, r#"{"manifests":[],"manifests":[]}"#), Err(Kind::Corrupt));
        assert_eq!(check(OCI_INDEX, "{}"), Err(Kind::Corrupt));
        assert_eq!(check("text/html", "<html>"), Err(Kind::Unsupported));
    }
}
