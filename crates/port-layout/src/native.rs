//! The native layout: one manifest per variant, the layers of its components in order (docs/formats/layouts.md).
//!
//! The config blob carries what a manifest has no field for: roles, formats, digests of the raw files,
//! kernel facts, boot arguments. Nothing carries a clock: the same bundle gives the same bytes.

mod layers;
mod stored;

use port_model::{Bundle, Digest};
use serde::{Deserialize, Serialize};

use crate::annotations::{CLASS, PROTECTION_MODE, SUBSTRATE};
use crate::json::{self, JsonError};
use crate::media_types;
use crate::oci::{self, Annotations, Descriptor, Manifest, Platform};

pub use stored::{LARGEST_MAP, LARGEST_PACK, LayersError, MOST_LAYERS, Stored};

/// The version of the config blob that is written, and the only one that is read.
const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    schema_version: u32,
    bundle: Bundle,
}

/// The config document's version alone, read first so that a newer one is named rather than misread.
#[derive(Debug, Deserialize)]
struct ConfigVersion {
    schema_version: u32,
}

/// A bundle as documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The config blob.
    pub config: Vec<u8>,
    /// The manifest.
    pub manifest: Vec<u8>,
}

/// Documents that are not a bundle in the native layout.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON of the right shape, or ambiguous.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A newer or unknown version of the config blob.
    #[error("the config has schema version {found}: this Port reads version {SCHEMA_VERSION}")]
    Version {
        /// What it says.
        found: u32,
    },
    /// A field that says something else than the config, or than the layout allows.
    #[error("the manifest's {field} is `{found}`: expected `{expected}`")]
    Field {
        /// Which field.
        field: String,
        /// What the config says.
        expected: String,
        /// What the manifest says.
        found: String,
    },
    /// Components and layers do not pair up.
    #[error("the bundle's components and the manifest's layers differ: {reason}")]
    Layers {
        /// Which, and how.
        reason: LayersError,
    },
}

/// A bundle from its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What it is.
    pub bundle: Bundle,
    /// How each component is stored, in their order.
    pub stored: Vec<Stored>,
}

/// Writes a bundle down whose components are all raw. `digest_of` hashes bytes, since this crate holds no hash
/// function.
pub fn encode(bundle: &Bundle, digest_of: impl Fn(&[u8]) -> Digest) -> Encoded {
    documents(bundle, bundle.components.iter().map(layers::raw_layer).collect(), digest_of)
}

/// Writes a bundle down whose components are stored as `stored` says, one for each component in their order.
///
/// # Errors
/// [`LayersError`] where a reader would refuse the documents: a blob too large, too many, or of no use there.
pub fn encode_stored(
    bundle: &Bundle,
    stored: &[Stored],
    digest_of: impl Fn(&[u8]) -> Digest,
) -> Result<Encoded, LayersError> {
    Ok(documents(bundle, layers::write(bundle, stored)?, digest_of))
}

fn documents(bundle: &Bundle, layers: Vec<Descriptor>, digest_of: impl Fn(&[u8]) -> Digest) -> Encoded {
    let config = oci::to_bytes(&Config { schema_version: SCHEMA_VERSION, bundle: bundle.clone() });
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_types::OCI_MANIFEST.to_owned(),
        artifact_type: Some(media_types::artifact_type(bundle.class).to_owned()),
        config: Descriptor::new(media_types::CONFIG, digest_of(&config), config.len() as u64),
        layers,
        subject: None,
        annotations: variant_annotations(bundle),
    };
    Encoded { manifest: oci::to_bytes(&manifest), config }
}

/// The entry of an index for this bundle's manifest.
pub fn index_entry(bundle: &Bundle, digest: Digest, size: u64) -> Descriptor {
    let mut annotations = variant_annotations(bundle);
    annotations.insert(CLASS.to_owned(), bundle.class.to_string());
    Descriptor {
        artifact_type: Some(media_types::artifact_type(bundle.class).to_owned()),
        platform: Some(Platform::linux(bundle.variant.architecture)),
        annotations,
        ..Descriptor::new(media_types::OCI_MANIFEST, digest, size)
    }
}

fn variant_annotations(bundle: &Bundle) -> Annotations {
    Annotations::from([
        (SUBSTRATE.to_owned(), bundle.variant.substrate.to_string()),
        (PROTECTION_MODE.to_owned(), bundle.variant.protection_mode.to_string()),
    ])
}

/// Reads a manifest, without its config.
pub fn decode_manifest(bytes: &[u8]) -> Result<Manifest, DecodeError> {
    let manifest: Manifest = json::read(bytes, "manifest", "an OCI image manifest")?;
    expect("mediaType", media_types::OCI_MANIFEST, &manifest.media_type)?;
    expect("config.mediaType", media_types::CONFIG, &manifest.config.media_type)?;
    Ok(manifest)
}

/// Reads a bundle back, however its components are stored. The caller has checked both documents' digests.
///
/// # Errors
/// [`DecodeError`] where a document is malformed, newer, or contradicts the other.
pub fn decode(manifest: &[u8], config: &[u8]) -> Result<Bundle, DecodeError> {
    decode_stored(manifest, config).map(|decoded| decoded.bundle)
}

/// Reads a bundle back, and how each of its components is stored. The caller has checked both documents'
/// digests.
///
/// # Errors
/// [`DecodeError`] where a document is malformed, newer, or contradicts the other.
pub fn decode_stored(manifest: &[u8], config: &[u8]) -> Result<Decoded, DecodeError> {
    let manifest = decode_manifest(manifest)?;
    let expected = "a Port bundle description";
    let ConfigVersion { schema_version } = json::read(config, "config", expected)?;
    if schema_version != SCHEMA_VERSION {
        return Err(DecodeError::Version { found: schema_version });
    }
    let Config { bundle, .. } = json::read(config, "config", expected)?;
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or_default();
    expect("artifactType", media_types::artifact_type(bundle.class), artifact_type)?;
    for (key, expected) in variant_annotations(&bundle) {
        let found = manifest.annotations.get(&key).map_or("", String::as_str);
        expect(&format!("annotation {key}"), &expected, found)?;
    }
    let stored = layers::read(&bundle, &manifest.layers).map_err(|reason| DecodeError::Layers { reason })?;
    Ok(Decoded { bundle, stored })
}

fn expect(field: &str, expected: &str, found: &str) -> Result<(), DecodeError> {
    if expected == found {
        return Ok(());
    }
    Err(DecodeError::Field {
        field: field.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    })
}

#[cfg(test)]
mod tests;
