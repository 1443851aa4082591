//! The one rule that keeps standard artifacts out of PVM lanes (acceptance P-69, P-82, P-83).
//!
//! A PVM variant whose main file is byte for byte that of a standard variant, of any artifact, is refused by every
//! verb. What the standard variants are is known from the configuration's pins and `port.lock`
//! ([`port_build::standard_digests`]), from their local files and from the store.

use std::collections::BTreeSet;

use port_layout::{Manifest, native};
use port_model::{Digest, ProtectionMode};

use crate::error::OpsError;
use crate::target::Target;
use crate::workspace::Workspace;

/// Refuses `digest` as the main file of a PVM variant if a standard variant has it.
pub(crate) fn refuse_standard(
    workspace: &Workspace,
    target: Target<'_>,
    digest: &Digest,
) -> Result<(), OpsError> {
    let is_pvm = target.variant().protection_mode == ProtectionMode::Pvm;
    if !is_pvm || !standard_digests(workspace)?.contains(digest) {
        return Ok(());
    }
    Err(OpsError::StandardInPvm {
        artifact: target.artifact.name.clone(),
        variant: target.variant(),
        digest: digest.clone(),
    })
}

/// Every digest that the main file of a standard variant is known to have, or was built from.
pub(crate) fn standard_digests(workspace: &Workspace) -> Result<BTreeSet<Digest>, OpsError> {
    let artifacts = || workspace.project.artifacts.values();
    let mut digests = port_build::standard_digests(artifacts(), &workspace.lock()?);
    for artifact in artifacts() {
        for config in &artifact.variants {
            if config.variant.protection_mode == ProtectionMode::Standard {
                digests.extend(present(workspace, Target { artifact, config })?);
            }
        }
    }
    Ok(digests)
}

/// The main file of one variant, as it is locally and in the store.
fn present(workspace: &Workspace, target: Target<'_>) -> Result<Vec<Digest>, OpsError> {
    let mut digests = Vec::new();
    let local = port_content::fs::try_metadata(&target.config.path)?;
    if local.is_some_and(|metadata| metadata.is_file()) {
        digests.push(workspace.store.digest_of_file(&target.config.path)?.0);
    }
    if let Some(descriptor) = workspace.store.resolve(&target.name())? {
        let document = workspace.store.read_document(&descriptor)?;
        // A manifest of another layout has no main component that could be compared.
        if let Ok(manifest) = native::decode_manifest(&document) {
            let config = workspace.store.read_document(&manifest.config)?;
            digests.extend(main_file(&document, &config, manifest));
        }
    }
    Ok(digests)
}

/// The digest of the main component's raw file. Its layers name it only where it is raw, so the config is asked; what
/// of the two documents cannot be read together still names its first layer.
fn main_file(document: &[u8], config: &[u8], manifest: Manifest) -> Option<Digest> {
    match native::decode(document, config) {
        Ok(bundle) => bundle.main().map(|component| component.digest.clone()),
        Err(_) => manifest.layers.into_iter().next().map(|layer| layer.digest),
    }
}

#[cfg(test)]
mod tests {
    use port_content::hashing::digest_of;
    use port_layout::{Blob, Stored};
    use port_model::{
        Architecture, ArtifactClass, Bundle, Component, ComponentFormat, ComponentKind, Substrate, Variant,
    };

    use super::*;

    #[test]
    fn p_82_a_standard_file_is_known_under_every_encoding() {
        let kernel = Component {
            kind: ComponentKind::Kernel,
            format: ComponentFormat::Vmlinux,
            file_name: "vmlinux".parse().unwrap(),
            size: 4096,
            digest: digest_of(b"kernel"),
        };
        let bundle = Bundle {
            class: ArtifactClass::Kernel,
            variant: Variant::new(Architecture::X86_64, Substrate::Firecracker, ProtectionMode::Standard),
            components: vec![kernel],
            kernel: None,
            boot_arguments: None,
            provenance: None,
        };
        let blob = |bytes: &[u8]| Blob { digest: digest_of(bytes), size: 1 };
        let packed = Stored::Packed { map: blob(b"map"), packs: vec![blob(b"pack")] };
        for stored in [Stored::Raw, Stored::Zstd(blob(b"zst")), packed] {
            let encoded = native::encode_stored(&bundle, &[stored], digest_of).unwrap();
            let manifest = native::decode_manifest(&encoded.manifest).unwrap();
            assert_eq!(main_file(&encoded.manifest, &encoded.config, manifest), Some(digest_of(b"kernel")));
        }
        let encoded = native::encode(&bundle, digest_of);
        let manifest = native::decode_manifest(&encoded.manifest).unwrap();
        assert_eq!(main_file(&encoded.manifest, b"{}", manifest), Some(digest_of(b"kernel")));
    }
}
