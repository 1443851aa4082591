//! The one rule that keeps standard artifacts out of PVM lanes (acceptance P-69, P-82, P-83).
//!
//! A PVM variant whose main file is byte for byte a standard variant of the same artifact is refused by
//! every verb. What the standard variants are is known from the configuration's pins, from `port.lock` and from
//! the store.

use port_config::KernelSource;
use port_layout::Manifest;
use port_model::{Digest, ProtectionMode, Variant};

use crate::error::OpsError;
use crate::target::Target;
use crate::workspace::Workspace;

/// Refuses `digest` as the main file of a PVM variant if a standard variant has it.
pub(crate) fn refuse_standard(
    workspace: &Workspace,
    target: Target<'_>,
    digest: &Digest,
) -> Result<(), OpsError> {
    if target.variant().protection_mode != ProtectionMode::Pvm {
        return Ok(());
    }
    for config in &target.artifact.variants {
        let standard = Target { config, ..target };
        let is_standard = config.variant.protection_mode == ProtectionMode::Standard;
        if is_standard && known(workspace, standard)?.contains(digest) {
            return Err(OpsError::StandardInPvm {
                artifact: target.artifact.name.clone(),
                variant: target.variant(),
                standard: standard.variant(),
                digest: digest.clone(),
            });
        }
    }
    Ok(())
}

/// Every digest that the main file of this variant is known to have or have had.
fn known(workspace: &Workspace, target: Target<'_>) -> Result<Vec<Digest>, OpsError> {
    let mut digests: Vec<Digest> = target.config.sources.iter().filter_map(pin).collect();
    let variant: Variant = target.variant();
    if let Some(entry) = workspace.lock()?.get(&target.artifact.name, variant) {
        digests.extend(entry.outputs.first().map(|output| output.digest.clone()));
    }
    if let Some(descriptor) = workspace.store.resolve(&target.name())? {
        let manifest = workspace.store.read_document(&descriptor)?;
        // A manifest of another layout has no main component that could be compared.
        if let Ok(manifest) = port_layout::native::decode_manifest(&manifest) {
            digests.extend(first_layer(manifest));
        }
    }
    if port_content::fs::exists(&target.config.path) {
        digests.push(workspace.store.digest_of_file(&target.config.path)?.0);
    }
    Ok(digests)
}

fn first_layer(manifest: Manifest) -> Option<Digest> {
    manifest.layers.into_iter().next().map(|layer| layer.digest)
}

fn pin(source: &KernelSource) -> Option<Digest> {
    match source {
        KernelSource::FirecrackerCi { sha256, .. } | KernelSource::Url { sha256, .. } => Some(sha256.clone()),
        KernelSource::Path { sha256, .. } => sha256.clone(),
        KernelSource::DebianPackage { .. }
        | KernelSource::DebianFile { .. }
        | KernelSource::PvmFlake { .. } => None,
    }
}
