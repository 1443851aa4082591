//! What keeps a standard kernel out of a PVM variant (acceptance P-68, P-69, P-80 … P-84).
//!
//! Invariant: nothing that any standard variant pins, builds or records ever becomes a PVM kernel.

use std::collections::BTreeSet;

use port_config::{Artifact, KernelSource, Lock, VariantConfig};
use port_kernel::KernelConfig;
use port_model::{Digest, ProtectionMode, Variant};

use crate::environment::Context;
use crate::error::BuildError;

/// The pinned standard kernels of acceptance Pu-35, whether or not a file still names them.
const PINNED_STANDARD: &[&str] = &[
    "e41c7048bd2475e7e788153823fcb9166a7e0b78c4c443bd6446d015fa735f53",
    "61baeae1ac6197be4fc5c71fa78df266acdc33c54570290d2f611c2b42c105be",
];

/// Refuses a variant for which PVM does not exist.
pub(crate) fn refuse_research_only(artifact: &Artifact, variant: Variant) -> Result<(), BuildError> {
    if variant.is_supported() {
        return Ok(());
    }
    Err(BuildError::ResearchOnly { artifact: artifact.name.clone(), variant })
}

/// Refuses a PVM source that can only hold a standard kernel.
pub(crate) fn refuse_standard_source(
    artifact: &Artifact,
    variant: &VariantConfig,
    source: &KernelSource,
) -> Result<(), BuildError> {
    let found = match source {
        KernelSource::FirecrackerCi { .. } => "a standard kernel of the Firecracker CI",
        KernelSource::DebianPackage { .. } => "a standard kernel of Debian",
        _ => return Ok(()),
    };
    if variant.variant.protection_mode != ProtectionMode::Pvm {
        return Ok(());
    }
    Err(standard(artifact, variant, source, found.to_owned()))
}

/// Refuses a PVM kernel with the bytes of a standard one, or whose configuration says that it is none.
pub(crate) fn refuse_standard_bytes(
    context: &Context<'_>,
    artifact: &Artifact,
    variant: &VariantConfig,
    source: &KernelSource,
    digests: [&Digest; 2],
    config: Option<&KernelConfig>,
) -> Result<(), BuildError> {
    if variant.variant.protection_mode != ProtectionMode::Pvm {
        return Ok(());
    }
    if let Some(digest) = digests.into_iter().find(|digest| context.standard.contains(*digest)) {
        return Err(standard(artifact, variant, source, format!("the standard kernel {digest}")));
    }
    if config.is_some_and(|config| !config.is_built_in("PVM_GUEST")) {
        let found = "a kernel that was built without CONFIG_PVM_GUEST".to_owned();
        return Err(standard(artifact, variant, source, found));
    }
    Ok(())
}

fn standard(
    artifact: &Artifact,
    variant: &VariantConfig,
    source: &KernelSource,
    found: String,
) -> BuildError {
    BuildError::StandardKernel {
        artifact: artifact.name.clone(),
        variant: variant.variant,
        source_text: source.to_string(),
        found,
    }
}

/// Every digest that a standard variant of these artifacts pins, or was built from or into by `lock`; and the
/// published pins (acceptance Pu-35), whether or not a file still names them.
///
/// This is the one list: a PVM variant whose main file is on it is refused, here and by every other verb.
pub fn standard_digests<'a>(artifacts: impl Iterator<Item = &'a Artifact>, lock: &Lock) -> BTreeSet<Digest> {
    let variants = artifacts.flat_map(|artifact| &artifact.variants);
    let standard = variants.filter(|config| config.variant.protection_mode == ProtectionMode::Standard);
    let pins = standard.flat_map(|config| &config.sources).filter_map(pin);
    let published = PINNED_STANDARD.iter().filter_map(|hex| Digest::from_sha256_hex(hex).ok());
    let entries = lock.entries().filter(|entry| entry.variant.protection_mode == ProtectionMode::Standard);
    let locked = entries.flat_map(|entry| {
        // A guest image's agent and BusyBox are in both lanes; what makes an image standard is the image.
        let is_kernel = entry.inputs.first().is_some_and(|input| input.source != "recipe");
        let inputs = entry.inputs.iter().filter(move |_| is_kernel).map(|input| input.digest.clone());
        inputs.chain(entry.outputs.first().map(|output| output.digest.clone()))
    });
    pins.chain(published).chain(locked).collect()
}

fn pin(source: &KernelSource) -> Option<Digest> {
    match source {
        KernelSource::FirecrackerCi { sha256, .. } | KernelSource::Url { sha256, .. } => Some(sha256.clone()),
        KernelSource::DebianFile { sha256, .. } | KernelSource::Path { sha256, .. } => sha256.clone(),
        KernelSource::DebianPackage { .. } | KernelSource::PvmFlake { .. } => None,
    }
}
