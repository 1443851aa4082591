//! A package from its manifest and config. The caller has checked both digests.

use super::{ImageConfig, KraftkitError, Package, normalized, parse_name};
use crate::annotations::{CONTAINERD_NAME, CREATED, KRAFTKIT_VERSION, UNIKRAFT_NAME};
use crate::document::{self, Document};
use crate::media_types::{OCI_CONFIG, OCI_LAYER_TAR};
use crate::oci::{Manifest, Platform};

/// A package, with what its documents lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The package; its platform is the config descriptor's where that has one (acceptance K-60).
    pub package: Package,
    /// Whether the config descriptor has a platform; without, kraft crashes or skips the package (Ku-8).
    pub platform_on_descriptor: bool,
    /// Whether the config's bytes are in Go's form; if not, kraft cannot push the package again (Ku-15).
    pub canonical_config: bool,
}

/// Reads a package. Fields that Port does not know are not kept; `canonical_config` tells.
///
/// # Errors
/// [`KraftkitError`] where a document is malformed or contradicts the other.
pub fn decode(manifest: &[u8], config: &[u8]) -> Result<Decoded, KraftkitError> {
    let Document::Manifest(manifest) = document::read(manifest, None)? else {
        return Err(field("document", "a manifest".to_owned(), "an index"));
    };
    if manifest.config.media_type != OCI_CONFIG {
        let found = &manifest.config.media_type;
        return Err(field("config.mediaType", format!("`{OCI_CONFIG}`"), found));
    }
    let mut parsed = ImageConfig::read(config)?;
    let canonical_config = parsed.is_canonical(config);
    let platform_on_descriptor = manifest.config.platform.is_some();
    if let Some(platform) = &manifest.config.platform {
        check_platform(platform, &parsed.platform)?;
        parsed.platform = platform.clone();
    }
    check_diff_ids(&manifest, &parsed)?;
    let package = Package {
        reference: reference(&manifest)?,
        packer_version: manifest.annotations.get(KRAFTKIT_VERSION).cloned().unwrap_or_default(),
        created: manifest.annotations.get(CREATED).cloned(),
        config: parsed,
        layers: manifest.layers,
    };
    Ok(Decoded { package, platform_on_descriptor, canonical_config })
}

fn field(name: &str, expected: String, found: &str) -> KraftkitError {
    KraftkitError::Field { field: name.to_owned(), expected, found: found.to_owned() }
}

fn reference(manifest: &Manifest) -> Result<port_model::Reference, KraftkitError> {
    let full = manifest.annotations.get(CONTAINERD_NAME);
    match full.or_else(|| manifest.annotations.get(UNIKRAFT_NAME)) {
        Some(name) => parse_name(name),
        None => Err(field(&format!("annotation {UNIKRAFT_NAME}"), "its name".to_owned(), "absent")),
    }
}

/// Two platforms in one package would make two tools boot different things.
fn check_platform(on_descriptor: &Platform, in_config: &Platform) -> Result<(), KraftkitError> {
    let (a, b) = (normalized(on_descriptor), normalized(in_config));
    let pairs = [
        ("architecture", &a.architecture, &b.architecture),
        ("os", &a.os, &b.os),
        ("os.version", &a.os_version, &b.os_version),
        ("variant", &a.variant, &b.variant),
    ];
    for (name, found, expected) in pairs {
        if found != expected {
            return Err(field(
                &format!("config.platform.{name}"),
                format!("`{expected}` as in the config"),
                found,
            ));
        }
    }
    if a.os_features != b.os_features {
        return Err(field(
            "config.platform.os.features",
            format!("the {} of the config", b.os_features.len()),
            &format!("{} others", a.os_features.len()),
        ));
    }
    Ok(())
}

/// A config's `diff_ids` are the layers' digests as long as no layer is compressed (acceptance Ku-6).
fn check_diff_ids(manifest: &Manifest, config: &ImageConfig) -> Result<(), KraftkitError> {
    let ids = config.rootfs.diff_ids.as_deref().unwrap_or_default();
    if ids.len() != manifest.layers.len() {
        let expected = format!("{} as there are layers", manifest.layers.len());
        return Err(field("number of rootfs.diff_ids", expected, &ids.len().to_string()));
    }
    for (id, layer) in ids.iter().zip(&manifest.layers) {
        let digest = layer.digest.to_string();
        if layer.media_type == OCI_LAYER_TAR && *id != digest {
            return Err(field("rootfs.diff_ids", format!("`{digest}`, the layer's digest"), id));
        }
    }
    Ok(())
}
