//! The documents that registries hold: which kind a document is, and that it is not two at once.
//!
//! A document whose type says manifest and whose body says index would be read differently by different tools
//! (CVE-2021-41190), so such a one is refused. The content is otherwise not looked at.

use port_layout::document::{self, DocumentError};

use crate::error::{Failure, quote};

pub use port_layout::document::{DocumentKind, kind_of};
pub use port_layout::media_types::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST};

/// All that are read, as an `Accept` header.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// A media type without its parameters, in lower case.
pub(crate) fn plain(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Checks that the bytes are a document of this media type and of no other.
pub(crate) fn check(media_type: &str, bytes: &[u8]) -> Result<DocumentKind, Failure> {
    if kind_of(media_type).is_none() {
        return Err(Failure::UnknownContent { found: quote(media_type) });
    }
    document::kind(bytes, Some(media_type)).map_err(|error| match error {
        DocumentError::MediaType { found } => Failure::UnknownContent { found: quote(&found) },
        DocumentError::MediaTypeDiffers { .. } | DocumentError::Confused { .. } => {
            Failure::Hostile(quote(&error.to_string()))
        }
        error => Failure::BadAnswer(quote(&error.to_string())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn what_is_read_is_asked_for() {
        let asked: Vec<&str> = ACCEPT.split(", ").collect();
        assert_eq!(asked, [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST]);
    }

    #[test]
    fn manifest_index_confusion_is_refused() {
        let check = |media_type: &str, body: &str| check(media_type, body.as_bytes()).map_err(|e| e.kind());
        assert_eq!(
            check(OCI_MANIFEST, r#"{"schemaVersion":2,"config":{},"layers":[]}"#),
            Ok(DocumentKind::Manifest)
        );
        assert_eq!(check(OCI_INDEX, r#"{"schemaVersion":2,"manifests":[]}"#), Ok(DocumentKind::Index));
        for (media_type, body) in [
            (OCI_INDEX, "{}"),
            (OCI_MANIFEST, r#"{"config":{},"layers":[],"manifests":[]}"#),
            (OCI_INDEX, r#"{"layers":[],"manifests":[]}"#),
            (OCI_MANIFEST, r#"{"manifests":[]}"#),
            (OCI_MANIFEST, r#"{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}"#),
            (DOCKER_MANIFEST, r#"{"config":{},"fsLayers":[]}"#),
        ] {
            assert_eq!(check(media_type, body), Err(Kind::Hostile), "{body}");
        }
        assert_eq!(check(OCI_INDEX, r#"{"manifests":[],"manifests":[]}"#), Err(Kind::Corrupt));
        assert_eq!(check(OCI_INDEX, r#"{"manifests":[]}"#), Err(Kind::Corrupt), "of no version");
        assert_eq!(check("text/html", "<html>"), Err(Kind::Unsupported));
    }
}
