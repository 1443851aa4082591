//! The one rule that keeps standard artifacts out of PVM lanes (acceptance P-69, P-82, P-83).
//!
//! A PVM variant whose main file is byte for byte that of a standard variant, of any artifact, is refused by every
//! verb. What the standard variants are is known from the configuration's pins and `port.lock`
//! ([`port_build::standard_digests`]), from their local files and from the store.

use std::collections::BTreeSet;

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
        let manifest = workspace.store.read_document(&descriptor)?;
        // A manifest of another layout has no main component that could be compared.
        if let Ok(manifest) = port_layout::native::decode_manifest(&manifest) {
            digests.extend(manifest.layers.into_iter().next().map(|layer| layer.digest));
        }
    }
    Ok(digests)
}
