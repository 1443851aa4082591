//! The native layout: one manifest per variant, one layer per component (docs/formats/layouts.md).
//!
//! The config blob carries what a manifest has no field for: roles, formats, digests of the raw files,
//! kernel facts, boot arguments. Nothing carries a clock: the same bundle gives the same bytes.

use std::collections::BTreeSet;

use port_model::{Bundle, Component, ComponentKind, Digest};
use serde::{Deserialize, Serialize};

use crate::annotations::{CLASS, PROTECTION_MODE, SUBSTRATE, TITLE};
use crate::media_types;
use crate::oci::{self, Annotations, Descriptor, Manifest, Platform};

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

/// A bundle as documents. The layers are the components' own files.
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
    /// Not JSON of the right shape.
    #[error("the {document} is not one: expected {expected}")]
    Malformed {
        /// Manifest or config.
        document: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What the JSON reader says.
        #[source]
        source: serde_json::Error,
    },
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
        reason: String,
    },
}

/// Writes a bundle down. `digest_of` hashes bytes, since this crate holds no hash function.
pub fn encode(bundle: &Bundle, digest_of: impl Fn(&[u8]) -> Digest) -> Encoded {
    let config = oci::to_bytes(&Config { schema_version: SCHEMA_VERSION, bundle: bundle.clone() });
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_types::OCI_MANIFEST.to_owned(),
        artifact_type: Some(media_types::artifact_type(bundle.class).to_owned()),
        config: Descriptor::new(media_types::CONFIG, digest_of(&config), config.len() as u64),
        layers: bundle.components.iter().map(layer).collect(),
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

fn layer(component: &Component) -> Descriptor {
    let media_type = media_types::layer(component.kind, component.format);
    let mut descriptor = Descriptor::new(media_type, component.digest.clone(), component.size);
    descriptor.annotations.insert(TITLE.to_owned(), component.file_name.to_string());
    descriptor
}

fn variant_annotations(bundle: &Bundle) -> Annotations {
    Annotations::from([
        (SUBSTRATE.to_owned(), bundle.variant.substrate.to_string()),
        (PROTECTION_MODE.to_owned(), bundle.variant.protection_mode.to_string()),
    ])
}

/// Reads a manifest, without its config.
pub fn decode_manifest(bytes: &[u8]) -> Result<Manifest, DecodeError> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|source| DecodeError::Malformed {
        document: "manifest",
        expected: "an OCI image manifest",
        source,
    })?;
    expect("mediaType", media_types::OCI_MANIFEST, &manifest.media_type)?;
    expect("config.mediaType", media_types::CONFIG, &manifest.config.media_type)?;
    Ok(manifest)
}

/// Reads a bundle back. The caller has checked both documents' digests.
///
/// # Errors
/// [`DecodeError`] where a document is malformed, newer, or contradicts the other.
pub fn decode(manifest: &[u8], config: &[u8]) -> Result<Bundle, DecodeError> {
    let manifest = decode_manifest(manifest)?;
    let malformed =
        |source| DecodeError::Malformed { document: "config", expected: "a Port bundle description", source };
    let ConfigVersion { schema_version } = serde_json::from_slice(config).map_err(malformed)?;
    if schema_version != SCHEMA_VERSION {
        return Err(DecodeError::Version { found: schema_version });
    }
    let Config { bundle, .. } = serde_json::from_slice(config).map_err(malformed)?;
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or_default();
    expect("artifactType", media_types::artifact_type(bundle.class), artifact_type)?;
    for (key, expected) in variant_annotations(&bundle) {
        let found = manifest.annotations.get(&key).map_or("", String::as_str);
        expect(&format!("annotation {key}"), &expected, found)?;
    }
    check_layers(&bundle, &manifest.layers)?;
    Ok(bundle)
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

fn check_layers(bundle: &Bundle, layers: &[Descriptor]) -> Result<(), DecodeError> {
    let fail = |reason: String| Err(DecodeError::Layers { reason });
    if bundle.main().is_none() {
        return fail(format!("a {} has no main component", bundle.class));
    }
    let kinds: BTreeSet<ComponentKind> = bundle.components.iter().map(|c| c.kind).collect();
    let names: BTreeSet<&str> = bundle.components.iter().map(|c| c.file_name.as_str()).collect();
    if kinds.len() != bundle.components.len() || names.len() != bundle.components.len() {
        return fail("two components share a role or a file name".to_owned());
    }
    if bundle.components.len() != layers.len() {
        return fail(format!("{} components, {} layers", bundle.components.len(), layers.len()));
    }
    for (component, found) in bundle.components.iter().zip(layers) {
        let expected = layer(component);
        if &expected != found {
            return fail(format!(
                "`{}` should be {} bytes {}, the layer is `{}` of {} bytes {}",
                component.file_name,
                expected.size,
                expected.digest,
                found.title().unwrap_or("without a title"),
                found.size,
                found.digest
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use port_model::*;
    use sha2::{Digest as _, Sha256};

    fn digest_of(bytes: &[u8]) -> Digest {
        Digest::sha256(&Sha256::digest(bytes).into())
    }

    fn bundle() -> Bundle {
        let component = |kind, format, name: &str| Component {
            kind,
            format,
            file_name: name.parse().unwrap(),
            size: name.len() as u64,
            digest: digest_of(name.as_bytes()),
        };
        Bundle {
            class: ArtifactClass::GuestImage,
            variant: Variant::new(Architecture::X86_64, Substrate::Firecracker, ProtectionMode::Standard),
            components: vec![
                component(ComponentKind::Rootfs, ComponentFormat::Ext4, "rootfs.ext4"),
                component(ComponentKind::Initrd, ComponentFormat::CpioGz, "initrd.cpio.gz"),
            ],
            kernel: Some(KernelFacts {
                release: Some("6.1.0".to_owned()),
                modules: vec!["virtio".to_owned()],
            }),
            boot_arguments: None,
            provenance: None,
        }
    }

    #[test]
    fn the_documents_are_golden() {
        let encoded = encode(&bundle(), digest_of);
        assert_eq!(
            String::from_utf8(encoded.config.clone()).unwrap(),
            include_str!("../tests/golden/native/config.json").trim_end()
        );
        assert_eq!(
            String::from_utf8(encoded.manifest.clone()).unwrap(),
            include_str!("../tests/golden/native/manifest.json").trim_end()
        );
        assert_eq!(decode(&encoded.manifest, &encoded.config).unwrap(), bundle());
    }

    #[test]
    fn documents_that_contradict_each_other_are_refused() {
        let encoded = encode(&bundle(), digest_of);
        let config = String::from_utf8(encoded.config).unwrap();
        let manifest = String::from_utf8(encoded.manifest).unwrap();
        let check = |manifest: &str, config: &str, expected: &str| {
            let error = decode(manifest.as_bytes(), config.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&manifest, "{}", "the config is not one");
        check("[]", &config, "the manifest is not one");
        check(&manifest, &config.replace("\"schema_version\":1", "\"schema_version\":9"), "version 9");
        check(&manifest, &config.replace("standard", "pvm"), "vnd.port.protection-mode is `standard`");
        check(&manifest.replace("firecracker", "avf"), &config, "expected `firecracker`");
        check(&manifest.replace("guest-image.v1\"", "kernel.v1\""), &config, "artifactType");
        check(&manifest.replace("\"size\":11", "\"size\":12"), &config, "the layer is `rootfs.ext4` of 12");
        check(&manifest.replace("rootfs.ext4", "../rootfs.ext4"), &config, "`../rootfs.ext4`");
        check(&manifest, &config.replace("\"initrd\"", "\"rootfs\""), "share a role");
        for surprise in ["{\"schema", "{\"class", "{\"kind"] {
            let config = config.replace(surprise, &surprise.replace('{', "{\"surprise\":1,"));
            check(&manifest, &config, "the config is not one");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(manifest: Vec<u8>, config: Vec<u8>) {
            let _ = decode(&manifest, &config);
        }
    }
}
