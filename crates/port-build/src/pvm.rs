//! What keeps a standard kernel out of a PVM variant (acceptance P-68, P-69, P-80 … P-84).
//!
//! Invariant: nothing that any standard variant pins, builds or records ever becomes a PVM kernel.

use port_config::{Artifact, KernelSource, VariantConfig};
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
    let is_standard = |digest: &Digest| {
        PINNED_STANDARD.contains(&digest.hex()) || is_pinned(artifact, digest) || is_locked(context, digest)
    };
    if let Some(digest) = digests.into_iter().find(|digest| is_standard(digest)) {
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

/// Whether a standard variant of this artifact pins the digest.
fn is_pinned(artifact: &Artifact, digest: &Digest) -> bool {
    let standard = artifact.variants.iter().filter(|v| v.variant.protection_mode == ProtectionMode::Standard);
    standard.flat_map(|variant| &variant.sources).any(|source| match source {
        KernelSource::FirecrackerCi { sha256, .. } | KernelSource::Url { sha256, .. } => sha256 == digest,
        KernelSource::DebianFile { sha256, .. } | KernelSource::Path { sha256, .. } => {
            sha256.as_ref() == Some(digest)
        }
        KernelSource::DebianPackage { .. } | KernelSource::PvmFlake { .. } => false,
    })
}

/// Whether a standard variant of any artifact was built from or into the digest.
fn is_locked(context: &Context<'_>, digest: &Digest) -> bool {
    let standard = context.lock.entries().filter(|e| e.variant.protection_mode == ProtectionMode::Standard);
    standard.into_iter().any(|entry| {
        entry.inputs.iter().any(|input| input.digest == *digest)
            || entry.outputs.iter().any(|output| output.digest == *digest)
    })
}
