//! Are these the bytes that were pinned, built or pulled (acceptance P-70, C-3)? Works without any network.

use port_config::{KernelSource, LockEntry};
use port_model::{Bundle, Digest};

use super::Finding;
use crate::error::OpsError;
use crate::inspect::stored_bundle;
use crate::local::LocalFile;
use crate::target::Target;
use crate::workspace::Workspace;

/// Compares every file with `port.lock`; without an entry, with the configured pins and with what was pulled.
pub(super) fn check(
    workspace: &Workspace,
    target: Target<'_>,
    files: &[LocalFile],
) -> Result<Vec<Finding>, OpsError> {
    let lock = workspace.lock()?;
    match lock.get(&target.artifact.name, target.variant()) {
        Some(entry) => {
            let mut findings = outputs(workspace, entry, files)?;
            findings.extend(source(target, entry));
            Ok(findings)
        }
        None => unlocked(workspace, target, files),
    }
}

fn outputs(workspace: &Workspace, entry: &LockEntry, files: &[LocalFile]) -> Result<Vec<Finding>, OpsError> {
    let mut findings = Vec::new();
    for output in &entry.outputs {
        let check = format!("digest of {}", output.file);
        let Some(file) = files.iter().find(|file| file.name == output.file) else {
            findings
                .push(Finding::failed(check, "the file is not there, `port.lock` says that it was built"));
            continue;
        };
        let found = workspace.store.digest_of_file(&file.path)?.0;
        findings.push(compare(check, &found, &output.digest, "port.lock"));
    }
    Ok(findings)
}

fn compare(check: String, found: &Digest, expected: &Digest, of: &str) -> Finding {
    if found == expected {
        return Finding::passed(check, format!("{found}, as in {of}"));
    }
    Finding::failed(check, format!("{found}, {of} has {expected}"))
}

/// Whether what `port.lock` says was used is still configured, and is what the pin says.
fn source(target: Target<'_>, entry: &LockEntry) -> Option<Finding> {
    let input = entry.inputs.first()?;
    let check = "source";
    let Some(configured) = target.config.sources.iter().find(|source| source.to_string() == input.source)
    else {
        // A guest image has a recipe and no sources; what went in is compared by the next build.
        return Some(if target.config.sources.is_empty() {
            Finding::passed(check, port_build::provenance(entry))
        } else {
            Finding::failed(check, format!("built from `{}`, which is no longer configured", input.source))
        });
    };
    match pin(configured).filter(|pin| **pin != input.digest) {
        Some(pin) => Some(Finding::failed(check, format!("built from {}, the pin is {pin}", input.digest))),
        None => Some(Finding::passed(check, format!("{} ({})", input.resolved, input.digest))),
    }
}

/// A variant that was not built here: it must be what was pulled, or a pinned source as it is.
fn unlocked(
    workspace: &Workspace,
    target: Target<'_>,
    files: &[LocalFile],
) -> Result<Vec<Finding>, OpsError> {
    let stored: Option<Bundle> = stored_bundle(workspace, target)?;
    let mut findings = Vec::new();
    for file in files {
        let check = format!("digest of {}", file.name);
        let found = workspace.store.digest_of_file(&file.path)?.0;
        let pulled = stored.as_ref().and_then(|bundle| bundle.component(file.kind));
        findings.push(if target.config.sources.iter().filter_map(pin).any(|pin| *pin == found) {
            Finding::passed(check, format!("{found}, as pinned"))
        } else if let Some(component) = pulled {
            compare(check, &found, &component.digest, "what was pulled or pushed")
        } else {
            Finding::failed(
                check,
                format!("{found}: neither built, pinned nor pulled here, so nobody vouches for it"),
            )
        });
    }
    Ok(findings)
}

fn pin(source: &KernelSource) -> Option<&Digest> {
    match source {
        KernelSource::FirecrackerCi { sha256, .. } | KernelSource::Url { sha256, .. } => Some(sha256),
        KernelSource::DebianFile { sha256, .. } | KernelSource::Path { sha256, .. } => sha256.as_ref(),
        KernelSource::DebianPackage { .. } | KernelSource::PvmFlake { .. } => None,
    }
}
