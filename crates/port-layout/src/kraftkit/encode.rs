//! A package as config, manifest and index entry, byte for byte as kraft would write them.

use port_model::Digest;

use super::{ImageConfig, Package, normalized};
use crate::annotations::{
    CONTAINERD_NAME, CREATED, KRAFTKIT_VERSION, REF_NAME, UNIKRAFT_KERNEL_VERSION, UNIKRAFT_NAME,
};
use crate::go_json;
use crate::media_types::{OCI_CONFIG, OCI_LAYER_TAR, OCI_MANIFEST};
use crate::oci::{Annotations, Descriptor, Manifest};

/// The documents of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// The config blob.
    pub config: Vec<u8>,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The manifest's entry for the index.
    pub entry: Descriptor,
}

/// A package that kraft could not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field that kraft needs is empty.
    #[error("the package `{name}` has no {field}: expected {expected}")]
    Empty {
        /// Its name.
        name: String,
        /// Which field.
        field: &'static str,
        /// What would do.
        expected: &'static str,
    },
    /// A compressed layer, whose content kraft could not find again (acceptance Ku-6).
    #[error("the package `{name}` has a layer `{found}`: expected `{OCI_LAYER_TAR}`")]
    Layer {
        /// Its name.
        name: String,
        /// The layer's media type.
        found: String,
    },
}

/// Writes a package down. The platform's features are sorted first, so that the same target always has the same
/// identity (acceptance K-37, C-8). `sha256` hashes, since this crate holds no hash function.
///
/// # Errors
/// [`EncodeError`] where kraft could not read the result.
pub fn encode(package: &Package, sha256: impl Fn(&[u8]) -> Digest) -> Result<Documents, EncodeError> {
    check(package)?;
    let mut config: ImageConfig = package.config.clone();
    config.platform = normalized(&config.platform);
    config.rootfs.kind = "layers".to_owned();
    config.rootfs.diff_ids = Some(package.layers.iter().map(|layer| layer.digest.to_string()).collect());
    let config_bytes = config.to_bytes();
    let annotations = annotations(package);
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config: Descriptor {
            // NOTE: kraft reads architecture and platform from here and crashes without (acceptance Ku-8).
            platform: Some(config.platform.clone()),
            ..Descriptor::new(OCI_CONFIG, sha256(&config_bytes), config_bytes.len() as u64)
        },
        layers: package.layers.clone(),
        subject: None,
        annotations: annotations.clone(),
    };
    let manifest_bytes = go_json::to_bytes(&manifest);
    let entry = Descriptor {
        annotations,
        platform: Some(config.platform),
        ..Descriptor::new(OCI_MANIFEST, sha256(&manifest_bytes), manifest_bytes.len() as u64)
    };
    Ok(Documents { config: config_bytes, manifest: manifest_bytes, entry })
}

fn check(package: &Package) -> Result<(), EncodeError> {
    let platform = &package.config.platform;
    let fields = [
        ("architecture", platform.architecture.as_str(), "Unikraft's word, such as `x86_64`"),
        ("platform", platform.os.as_str(), "Unikraft's word, such as `qemu`"),
        ("packer version", package.packer_version.as_str(), "any text: kraft ignores a package without"),
    ];
    for (field, text, expected) in fields {
        if text.is_empty() {
            return Err(EncodeError::Empty { name: package.name(), field, expected });
        }
    }
    match package.layers.iter().find(|layer| layer.media_type != OCI_LAYER_TAR) {
        None => Ok(()),
        Some(other) => Err(EncodeError::Layer { name: package.name(), found: other.media_type.clone() }),
    }
}

/// The annotations that manifest and index entry share (acceptance K-23, K-24, Ku-9, Ku-10).
fn annotations(package: &Package) -> Annotations {
    let mut annotations = index_annotations(package);
    annotations.insert(UNIKRAFT_NAME.to_owned(), package.name());
    let version = &package.config.platform.os_version;
    if !version.is_empty() {
        annotations.insert(UNIKRAFT_KERNEL_VERSION.to_owned(), version.clone());
    }
    annotations
}

/// The annotations that the index has too.
pub(super) fn index_annotations(package: &Package) -> Annotations {
    let reference = format!("{}:{}", package.name(), package.reference.version());
    let mut annotations = Annotations::from([
        (REF_NAME.to_owned(), package.name()),
        (KRAFTKIT_VERSION.to_owned(), package.packer_version.clone()),
        (CONTAINERD_NAME.to_owned(), reference),
    ]);
    if let Some(created) = &package.created {
        annotations.insert(CREATED.to_owned(), created.clone());
    }
    annotations
}
