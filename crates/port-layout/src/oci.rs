//! The OCI image-spec documents that Port reads and writes (image-spec 1.1: manifest, index, descriptor).
//!
//! Fields stand in the order in which Go's tools write them. Unknown fields are ignored on reading, as the
//! specification asks; a document of others that Port adds to goes through [`crate::index::IndexDocument`],
//! which keeps them.

use std::collections::BTreeMap;

use port_model::{Architecture, Digest};
use serde::{Deserialize, Deserializer, Serialize};

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
    /// Further facts.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
    /// The blob itself in base64, where it is tiny. Port writes it only for the empty config, as `oras` does,
    /// and never uses it in place of the blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Which machine it is for; on index entries and KraftKit's configs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What kind of artifact the manifest behind it is; on index entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor with nothing but the three required fields.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: Annotations::new(),
            data: None,
            platform: None,
            artifact_type: None,
        }
    }

    /// What it names.
    pub fn blob(&self) -> Blob {
        Blob { digest: self.digest.clone(), size: self.size }
    }

    /// The file name that the layer is to be written to.
    pub fn title(&self) -> Option<&str> {
        self.annotations.get(crate::annotations::TITLE).map(String::as_str)
    }
}

/// A blob, whatever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Of its bytes.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

impl Blob {
    /// The descriptor that calls it a `media_type`.
    pub fn descriptor(&self, media_type: &str) -> Descriptor {
        Descriptor::new(media_type, self.digest.clone(), self.size)
    }
}

/// Which machine a manifest is for. Go's names, except in KraftKit's documents, which have Unikraft's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64` or `arm64`; KraftKit: `x86_64` or `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// `linux`; KraftKit: `qemu`, `fc`, `xen`.
    #[serde(default)]
    pub os: String,
    /// KraftKit: the kernel's version.
    #[serde(default, rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// KraftKit: the kernel's configuration, as `KEY=VALUE`.
    #[serde(
        default,
        rename = "os.features",
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// A revision of the architecture, such as `v8`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// Linux on this architecture.
    pub fn linux(architecture: Architecture) -> Self {
        Self { architecture: architecture.oci_name().to_owned(), os: "linux".to_owned(), ..Self::default() }
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
    #[serde(deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Further facts.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
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
    #[serde(deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// Further facts.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
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

/// Go writes `null` for a list or a map that was never made.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The one way a document becomes bytes: compact JSON, fields in declared order, annotations sorted.
pub fn to_bytes<T: Serialize>(document: &T) -> Vec<u8> {
    // Our document types hold nothing that JSON cannot: string keys, numbers, strings.
    serde_json::to_vec(document).unwrap_or_default()
}
