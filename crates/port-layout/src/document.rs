//! A document from a registry or a layout directory: a manifest or an index, never both.
//!
//! What a document is, is said up to three times: by who hands it over (`Content-Type`, the descriptor), by
//! its own `mediaType`, by its fields. All that is said must agree; a document that one tool reads as an
//! index and another as a manifest (CVE-2021-41190) is refused.

use crate::json::{self, JsonError, RawObject};
use crate::media_types::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Index, Manifest};

/// The most entries of an index and the most layers of a manifest that are read.
pub const MOST_ENTRIES: usize = 2048;

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Layers and a config.
    Manifest(Box<Manifest>),
    /// A list of manifests.
    Index(Index),
}

/// The two kinds, whichever family's media type they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// OCI image manifest, Docker manifest v2.
    Manifest,
    /// OCI image index, Docker manifest list v2.
    Index,
}

/// A document that is not one, or not clearly one.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// No JSON of the right shape.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A media type that is neither a manifest's nor an index's.
    #[error("the document is `{found}`: expected an OCI or Docker manifest or index")]
    MediaType {
        /// What it is said to be.
        found: String,
    },
    /// The document says another type than who handed it over.
    #[error("the document calls itself `{found}`: it was handed over as `{expected}`")]
    MediaTypeDiffers {
        /// `Content-Type`, or the descriptor's media type.
        expected: String,
        /// Its `mediaType`.
        found: String,
    },
    /// Fields of both kinds, or of the other kind than the type says, or of none.
    #[error("the document is not clearly a manifest or an index: expected {expected}, found {found}")]
    Confused {
        /// Which fields belong to its type.
        expected: &'static str,
        /// Which of them it has.
        found: String,
    },
    /// Another version of the format.
    #[error("the document has schemaVersion {found}: expected 2")]
    SchemaVersion {
        /// What it says.
        found: u64,
    },
    /// More entries than are read.
    #[error("the {document} has {found} {of}: at most {MOST_ENTRIES} are read")]
    TooMany {
        /// Manifest or index.
        document: &'static str,
        /// Layers or manifests.
        of: &'static str,
        /// How many.
        found: usize,
    },
}

/// The fields that tell what a document is, and whether an index has them.
const TELLING: [(&str, bool); 5] =
    [("manifests", true), ("config", false), ("layers", false), ("fsLayers", false), ("blobs", false)];

/// The kind that a media type stands for.
pub fn kind_of(media_type: &str) -> Option<DocumentKind> {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => Some(DocumentKind::Manifest),
        OCI_INDEX | DOCKER_MANIFEST_LIST => Some(DocumentKind::Index),
        _ => None,
    }
}

/// Reads a document. `declared` is the media type under which it was handed over, if any was given;
/// parameters behind `;` do not count. The caller has checked its digest.
///
/// # Errors
/// [`DocumentError`] where the document is malformed, unbounded or ambiguous.
pub fn read(bytes: &[u8], declared: Option<&str>) -> Result<Document, DocumentError> {
    match kind(bytes, declared)? {
        DocumentKind::Manifest => {
            let manifest: Box<Manifest> = json::read(bytes, "manifest", "an OCI image manifest")?;
            bounded("manifest", "layers", manifest.layers.len())?;
            Ok(Document::Manifest(manifest))
        }
        DocumentKind::Index => {
            let index: Index = json::read(bytes, "index", "an OCI image index")?;
            bounded("index", "manifests", index.manifests.len())?;
            Ok(Document::Index(index))
        }
    }
}

pub(crate) fn bounded(document: &'static str, of: &'static str, found: usize) -> Result<(), DocumentError> {
    if found > MOST_ENTRIES {
        return Err(DocumentError::TooMany { document, of, found });
    }
    Ok(())
}

/// What the bytes are, where type and fields agree; for those who carry a document and do not read it.
///
/// # Errors
/// [`DocumentError`], as for [`read`].
pub fn kind(bytes: &[u8], declared: Option<&str>) -> Result<DocumentKind, DocumentError> {
    let object: RawObject = json::read(bytes, "document", "an OCI manifest or index")?;
    let declared =
        declared.map(|text| text.split(';').next().unwrap_or_default().trim()).filter(|t| !t.is_empty());
    let own: Option<String> = object.field("mediaType", "document", "a media type")?;
    let own = own.as_deref().filter(|text| !text.is_empty());
    if let (Some(declared), Some(own)) = (declared, own)
        && !declared.eq_ignore_ascii_case(own)
    {
        return Err(DocumentError::MediaTypeDiffers { expected: declared.to_owned(), found: own.to_owned() });
    }
    // Without a type of its own the fields decide; registries may hand over a general JSON type then.
    let by_type = match own.or(declared.filter(|text| *text != "application/json")) {
        None => None,
        Some(text) => Some(
            kind_of(&text.to_ascii_lowercase())
                .ok_or_else(|| DocumentError::MediaType { found: text.to_owned() })?,
        ),
    };
    let kind = by_fields(&object, by_type)?;
    match object.field::<u64>("schemaVersion", "document", "a number")? {
        Some(2) => Ok(kind),
        found => Err(DocumentError::SchemaVersion { found: found.unwrap_or_default() }),
    }
}

fn by_fields(object: &RawObject, by_type: Option<DocumentKind>) -> Result<DocumentKind, DocumentError> {
    let mut present = Vec::new();
    let mut says = None;
    let mut agree = true;
    for key in object.keys() {
        // Go's reader takes a key in any case, so a `Layers` beside `manifests` is a manifest to it.
        let Some((name, of_index)) = TELLING.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) else {
            continue;
        };
        let kind = if *of_index { DocumentKind::Index } else { DocumentKind::Manifest };
        agree &= *name == key && !matches!(*name, "fsLayers" | "blobs");
        agree &= says.is_none_or(|said| said == kind);
        says = Some(kind);
        present.push(key);
    }
    match (says, by_type) {
        (Some(kind), None) if agree => Ok(kind),
        (Some(kind), Some(wanted)) if agree && kind == wanted => Ok(kind),
        _ => Err(DocumentError::Confused {
            expected: match by_type {
                Some(DocumentKind::Manifest) => "`config` and `layers`",
                Some(DocumentKind::Index) => "`manifests`",
                None => "`manifests`, or `config` and `layers`",
            },
            found: if present.is_empty() { "none of them".to_owned() } else { present.join(", ") },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = include_str!("../tests/golden/port-v1/kernel.json");
    const INDEX: &str = include_str!("../tests/golden/native/index.json");

    #[test]
    fn o_23_o_26_both_families_are_read() {
        let docker = MANIFEST.replace(OCI_MANIFEST, DOCKER_MANIFEST);
        for text in [MANIFEST, docker.as_str()] {
            assert!(matches!(read(text.as_bytes(), None).unwrap(), Document::Manifest(_)));
        }
        let list = INDEX.replacen(OCI_INDEX, DOCKER_MANIFEST_LIST, 1);
        for text in [INDEX, list.as_str()] {
            assert!(matches!(read(text.as_bytes(), None).unwrap(), Document::Index(_)));
        }
    }

    #[test]
    fn what_is_said_must_agree() {
        let typeless = MANIFEST.replacen(&format!("\"mediaType\":\"{OCI_MANIFEST}\","), "", 1);
        for (text, declared) in [
            (MANIFEST, Some(OCI_MANIFEST)),
            (MANIFEST, Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8")),
            (typeless.as_str(), Some(OCI_MANIFEST)),
            (typeless.as_str(), Some("application/json")),
            (typeless.as_str(), None),
        ] {
            assert!(read(text.as_bytes(), declared).is_ok(), "{declared:?}");
        }
        let check = |text: &str, declared: Option<&str>, expected: &str| {
            let error = read(text.as_bytes(), declared).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(MANIFEST, Some(OCI_INDEX), "it was handed over as `application/vnd.oci.image.index");
        check(&typeless, Some(OCI_INDEX), "expected `manifests`, found config, layers");
        check(&typeless, Some("text/html"), "the document is `text/html`");
        check(&INDEX.replacen(OCI_INDEX, OCI_MANIFEST, 1), None, "found manifests");
    }

    #[test]
    fn hostile_documents_are_refused() {
        let both = MANIFEST.replacen("\"layers\"", "\"manifests\":[],\"layers\"", 1);
        let cases = [
            (both.clone(), "found config, manifests, layers"),
            (both.replace("\"manifests\"", "\"Manifests\""), "found config, Manifests, layers"),
            (MANIFEST.replacen("\"layers\"", "\"Layers\"", 1), "found config, Layers"),
            (MANIFEST.replacen("\"layers\"", "\"fsLayers\":[],\"layers\"", 1), "found config, fsLayers"),
            (MANIFEST.replacen("\"schemaVersion\":2", "\"schemaVersion\":1", 1), "schemaVersion 1"),
            (MANIFEST.replacen("\"schemaVersion\":2,", "", 1), "schemaVersion 0"),
            (MANIFEST.replacen("\"schemaVersion\":2", "\"schemaVersion\":\"2\"", 1), "is not one"),
            (MANIFEST.replacen("\"size\":7", "\"size\":-7", 1), "the manifest is not one"),
            (MANIFEST.replacen("\"size\":7", "\"size\":1e30", 1), "the manifest is not one"),
            (MANIFEST.replacen("\"size\":7,", "", 1), "the manifest is not one"),
            (MANIFEST.replace("sha256:", "SHA256:"), "the manifest is not one"),
            (MANIFEST.replace("sha256:", "md5:"), "the manifest is not one"),
            (MANIFEST.replacen("\"vmlinux\"", "[]", 1), "the manifest is not one"),
            (MANIFEST.replacen("\"size\":7", "\"size\":7,\"size\":7", 1), "the document is not one"),
            (
                MANIFEST.replacen(OCI_MANIFEST, "application/vnd.docker.distribution.manifest.v1+json", 1),
                "v1+json",
            ),
            ("[2,\"\",null]".to_owned(), "the document is not one"),
            (String::new(), "the document is not one"),
            ("{\"schemaVersion\":2}".to_owned(), "found none of them"),
        ];
        for (text, expected) in cases {
            let error = read(text.as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} should say {expected}");
        }
    }

    #[test]
    fn counts_are_bounded() {
        let layer = MANIFEST.split("\"layers\":[").nth(1).unwrap().split("]}").next().unwrap();
        let many = MANIFEST.replacen(layer, &vec![layer; MOST_ENTRIES + 1].join(","), 1);
        let error = read(many.as_bytes(), None).unwrap_err().to_string();
        assert_eq!(error, "the manifest has 2049 layers: at most 2048 are read");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, at in 0..1000usize, byte: u8, declared: Option<String>) {
            let _ = read(&bytes, declared.as_deref());
            for text in [MANIFEST, INDEX] {
                let mut changed = text.as_bytes().to_vec();
                if let Some(old) = changed.get_mut(at) {
                    *old = byte;
                }
                let _ = read(&changed, None).map(|document| crate::detect::detect(&document));
            }
        }
    }
}
