//! The OCI image-spec documents that Port reads and writes (image-spec 1.1: manifest, index, descriptor).
//!
//! Unknown fields are ignored on reading, as the specification asks; Port never writes back what it read.

use std::collections::BTreeMap;

use port_model::{Architecture, Digest};
use serde::{Deserialize, Serialize};

use crate::media_types;

/// Annotations, sorted, so that the same content gives the same bytes.
pub type Annotations = BTreeMap<String, String>;

/// Names one blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What kind of artifact the manifest behind it is; on index entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Which machine it is for; on index entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Further facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

impl Descriptor {
    /// A descriptor with nothing but the three required fields.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            platform: None,
            annotations: Annotations::new(),
        }
    }

    /// The file name that the layer is to be written to.
    pub fn title(&self) -> Option<&str> {
        self.annotations.get(crate::annotations::TITLE).map(String::as_str)
    }
}

/// Which machine a manifest is for, in Go's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
}

impl Platform {
    /// Linux on this architecture.
    pub fn linux(architecture: Architecture) -> Self {
        Self { architecture: architecture.oci_name().to_owned(), os: "linux".to_owned() }
    }
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_types::OCI_MANIFEST`].
    #[serde(default)]
    pub media_type: String,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// The content blobs.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Further facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

/// An image index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_types::OCI_INDEX`].
    #[serde(default)]
    pub media_type: String,
    /// One entry per manifest.
    pub manifests: Vec<Descriptor>,
    /// Further facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: media_types::OCI_INDEX.to_owned(),
            manifests: Vec::new(),
            annotations: Annotations::new(),
        }
    }
}

/// The one way a document becomes bytes: compact JSON, fields in declared order, annotations sorted.
pub fn to_bytes<T: Serialize>(document: &T) -> Vec<u8> {
    // Our document types hold nothing that JSON cannot: string keys, numbers, strings.
    serde_json::to_vec(document).unwrap_or_default()
}
