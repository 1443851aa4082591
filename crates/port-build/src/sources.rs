//! The sources of one kernel variant: which ones are asked, and asking one of them.

use port_config::{Artifact, KernelSource, LockedInput, VariantConfig};
use port_content::fs;
use port_kernel::LARGEST_KERNEL;
use port_model::{Architecture, Variant};

use crate::downloads::{self, Answer, Fetched};
use crate::environment::Context;
use crate::error::BuildError;
use crate::{debian, flake};

/// The configured sources in their order, or the one that was asked for by kind or number.
pub(crate) fn select<'a>(
    context: &Context<'_>,
    artifact: &Artifact,
    variant: &'a VariantConfig,
) -> Result<Vec<&'a KernelSource>, BuildError> {
    let name = || artifact.name.clone();
    if variant.sources.is_empty() {
        return Err(BuildError::NotBuildable {
            artifact: name(),
            variant: variant.variant,
            missing: "sources",
        });
    }
    let Some(asked) = context.source else { return Ok(variant.sources.iter().collect()) };
    let by_number = asked.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let chosen: Vec<&KernelSource> = match by_number {
        Some(index) => variant.sources.get(index).into_iter().collect(),
        None => variant.sources.iter().filter(|source| source.kind() == asked).collect(),
    };
    // Two sources of one kind: the kind alone does not say which one is meant.
    match chosen.as_slice() {
        [_] => Ok(chosen),
        _ => {
            let numbered = variant.sources.iter().enumerate();
            let available = numbered.map(|(index, source)| format!("{}: {source}", index + 1)).collect();
            let asked = asked.to_owned();
            Err(BuildError::NoSuchSource { artifact: name(), variant: variant.variant, asked, available })
        }
    }
}

/// Asks `source` for what it has now.
pub(crate) async fn resolve(
    context: &Context<'_>,
    source: &KernelSource,
    architecture: Architecture,
) -> Result<Answer, BuildError> {
    match source {
        KernelSource::FirecrackerCi { key, sha256 } => {
            let base = context.sources.firecracker_ci_url.trim_end_matches('/');
            downloads::fetch(context, &format!("{base}/{key}"), sha256).await
        }
        KernelSource::Url { url, sha256 } => downloads::fetch(context, url, sha256).await,
        KernelSource::DebianPackage { package } => debian::newest(context, package, architecture).await,
        KernelSource::DebianFile { path, sha256 } | KernelSource::Path { path, sha256, .. } => {
            local(context, source, path, sha256.as_ref())
        }
        KernelSource::PvmFlake { attribute } => flake::build(context, attribute).await,
    }
}

/// Asks `source` for exactly what the lock pins; kept downloads are used before any network.
pub(crate) async fn resolve_pinned(
    context: &Context<'_>,
    source: &KernelSource,
    pinned: &LockedInput,
    architecture: Architecture,
) -> Result<Answer, BuildError> {
    if let KernelSource::DebianPackage { .. } = source {
        return debian::pinned(context, &pinned.resolved, &pinned.digest, architecture).await;
    }
    // A file of this machine is read where it is: keeping a copy of it would win nothing.
    let is_local = matches!(source, KernelSource::DebianFile { .. } | KernelSource::Path { .. });
    if !is_local && let Some(fetched) = downloads::kept(context, &pinned.digest, &pinned.resolved)? {
        return Ok(Answer::Got(fetched));
    }
    resolve(context, source, architecture).await
}

/// The error where none of the sources that were asked has the kernel.
pub(crate) fn none_reached(
    artifact: &str,
    variant: Variant,
    asked: &[&KernelSource],
    reasons: Vec<String>,
) -> BuildError {
    let artifact = artifact.to_owned();
    // A file that is not there is no question of reach.
    if asked.iter().all(|source| local_file(source).is_some()) {
        return BuildError::NoneThere { artifact, variant, reasons };
    }
    BuildError::NoneReached { artifact, variant, reasons }
}

/// The file of a local source, if it has one.
pub(crate) fn local_file(source: &KernelSource) -> Option<&std::path::Path> {
    match source {
        KernelSource::DebianFile { path, .. } | KernelSource::Path { path, .. } => Some(path),
        _ => None,
    }
}

/// Digest and size of a local source. What cannot be a kernel is not hashed: it may be endless.
pub(crate) fn digest_of_local(
    context: &Context<'_>,
    path: &std::path::Path,
) -> Result<(port_model::Digest, u64), BuildError> {
    let (_, metadata) = fs::open_regular(path)?;
    if metadata.len() > LARGEST_KERNEL {
        let subject = format!("`{}`", path.display());
        return Err(port_kernel::KernelError::TooLarge { subject, limit: LARGEST_KERNEL }.into());
    }
    Ok((context.digest_of)(path)?)
}

fn local(
    context: &Context<'_>,
    source: &KernelSource,
    path: &std::path::Path,
    expected: Option<&port_model::Digest>,
) -> Result<Answer, BuildError> {
    if fs::try_metadata(path)?.is_none() {
        return Ok(Answer::Unreachable(format!("`{}` does not exist", path.display())));
    }
    let (digest, size) = digest_of_local(context, path)?;
    if let Some(expected) = expected.filter(|expected| **expected != digest) {
        let (source_text, expected) = (source.to_string(), expected.clone());
        return Err(BuildError::WrongBytes { source_text, expected, found: digest, size });
    }
    Ok(Answer::Got(Fetched { file: path.to_owned(), digest, size, resolved: path.display().to_string() }))
}
