//! `port.lock` as the record of builds: whether what it says still holds, and what a locked build may not change.

use std::path::{Path, PathBuf};

use port_config::{Artifact, LockEntry, LockedInput, LockedOutput, VariantConfig};
use port_content::fs;
use port_model::{Digest, FileName};

use crate::environment::{Context, LockMode};
use crate::error::BuildError;

/// What a build did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The variant's entry in the lock: inputs, outputs, kernel facts.
    pub entry: LockEntry,
    /// Whether anything was written; `false` where all was up to date.
    pub fresh: bool,
}

/// Where the main output of a build came from, in words a person can follow.
///
/// It is published, so nothing of the machine that built (a mirror, a directory) is in it.
pub fn provenance(entry: &LockEntry) -> String {
    let Some(first) = entry.inputs.first() else { return String::new() };
    let said = |input: &LockedInput| match input.source.split(' ').next() {
        Some("agent" | "busybox") => Some(format!("{} {}", input.source, input.digest.short())),
        Some("modules" | "kernel-release") => Some(format!("{} {}", input.source, input.resolved)),
        _ => None,
    };
    match first.source.split(' ').next() {
        Some("recipe") => {
            let parts: Vec<String> = entry.inputs.iter().filter_map(said).collect();
            format!("{}: {}", first.resolved, parts.join(", "))
        }
        Some("debian-package" | "pvm-flake") => format!("{} ({})", first.source, first.resolved),
        _ => first.source.clone(),
    }
}

/// Where the output `name` of a variant is: beside its main file.
pub(crate) fn output_path(variant: &VariantConfig, name: &FileName) -> PathBuf {
    variant.path.parent().unwrap_or(Path::new("")).join(name.as_str())
}

/// Whether every output of `entry` is there with its recorded digest.
pub(crate) fn outputs_hold(
    context: &Context<'_>,
    variant: &VariantConfig,
    entry: &LockEntry,
) -> Result<bool, BuildError> {
    let is_main = entry.outputs.first().is_some_and(|output| output.file == variant.file_name);
    if !is_main {
        return Ok(false);
    }
    for output in &entry.outputs {
        let path = output_path(variant, &output.file);
        // The size tells most changes without a hash.
        let same_size =
            fs::try_metadata(&path)?.is_some_and(|found| found.is_file() && found.len() == output.size);
        if !same_size || (context.digest_of)(&path)?.0 != output.digest {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says what would change from `locked` to `found`, by source; empty where the inputs are the same.
///
/// What an input resolved to (a path, a mirror's URL) may differ from machine to machine: its bytes count.
pub(crate) fn input_changes(locked: &[LockedInput], found: &[LockedInput]) -> Vec<String> {
    let find = |all: &[LockedInput], source: &str| all.iter().find(|input| input.source == source).cloned();
    let mut changes = Vec::new();
    for input in found {
        match find(locked, &input.source) {
            None => changes.push(format!("`{}` would be added", input.source)),
            Some(old) => changes.extend(digest_change(&input.source, &old.digest, &input.digest)),
        }
    }
    for input in locked.iter().filter(|input| find(found, &input.source).is_none()) {
        changes.push(format!("`{}` would be removed", input.source));
    }
    changes
}

/// Says what would change from the locked outputs to the new ones.
pub(crate) fn output_changes(locked: &[LockedOutput], found: &[LockedOutput]) -> Vec<String> {
    let old = |file: &FileName| locked.iter().find(|output| output.file == *file);
    let mut changes: Vec<String> = found
        .iter()
        .filter_map(|output| match old(&output.file) {
            Some(old) => digest_change(output.file.as_str(), &old.digest, &output.digest),
            None => Some(format!("the output `{}` would be added", output.file)),
        })
        .collect();
    let gone = locked.iter().filter(|old| found.iter().all(|output| output.file != old.file));
    changes.extend(gone.map(|old| format!("the output `{}` would be removed", old.file)));
    changes
}

fn digest_change(what: &str, locked: &Digest, found: &Digest) -> Option<String> {
    (locked != found).then(|| format!("`{what}` changed: locked {locked}, found {found}"))
}

/// In locked mode, refuses what would change.
pub(crate) fn refuse_changes(
    context: &Context<'_>,
    artifact: &Artifact,
    variant: &VariantConfig,
    changes: Vec<String>,
) -> Result<(), BuildError> {
    if changes.is_empty() || context.lock_mode != LockMode::Locked {
        return Ok(());
    }
    Err(BuildError::LockChanged { artifact: artifact.name.clone(), variant: variant.variant, changes })
}

/// The lock's entry; none is an error in locked mode.
pub(crate) fn locked_entry<'a>(
    context: &Context<'a>,
    artifact: &Artifact,
    variant: &VariantConfig,
) -> Result<Option<&'a LockEntry>, BuildError> {
    match context.lock.get(&artifact.name, variant.variant) {
        None if context.lock_mode == LockMode::Locked => {
            Err(BuildError::LockMissing { artifact: artifact.name.clone(), variant: variant.variant })
        }
        entry => Ok(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use port_content::hashing::digest_of;

    fn input(source: &str, bytes: &str) -> LockedInput {
        let digest = digest_of(bytes.as_bytes());
        LockedInput {
            source: source.to_owned(),
            resolved: bytes.to_owned(),
            digest,
            size: bytes.len() as u64,
        }
    }

    #[test]
    fn changes_are_told_by_source_and_bytes() {
        let locked = [input("agent", "1"), input("busybox", "b"), input("gone", "g")];
        let mut moved = input("busybox", "b");
        moved.resolved = "another place".to_owned();
        let changes = input_changes(&locked, &[input("agent", "2"), moved, input("new", "n")]);
        assert_eq!(changes.len(), 3, "{changes:?}");
        assert!(changes[0].starts_with("`agent` changed: locked sha256:"), "{changes:?}");
        assert_eq!(changes[1..], ["`new` would be added", "`gone` would be removed"]);
        assert!(input_changes(&locked, &locked).is_empty());
    }
}
