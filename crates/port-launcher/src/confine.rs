//! Gives up rights, in the order in which giving up one still allows the next.

use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, path_beneath_rules,
};
use rustix::thread::{
    CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set, set_no_new_privs,
};

use crate::network;
use crate::options::Options;

/// Rights up to the devices' own controls. A kernel that knows fewer applies those it knows.
const KNOWN: ABI = ABI::V5;
/// No kernel has more capabilities than bits in its mask.
const CAPABILITIES: u32 = 64;

/// A right that cannot be given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    #[error("cannot drop capability number {number}")]
    Capability { number: u32, source: rustix::io::Errno },
    #[error("cannot refuse new privileges")]
    NoNewPrivileges(#[source] rustix::io::Errno),
    #[error("expected a default route within ten seconds, found none: the workload was not connected")]
    NoNetwork,
    #[error("cannot list `/`")]
    Root(#[source] std::io::Error),
    #[error("cannot apply the Landlock rules")]
    Landlock(#[from] RulesetError),
    #[error("expected a kernel with Landlock, found one without (or a seccomp filter that hides it)")]
    NoLandlock,
}

pub(crate) fn confine(options: &Options) -> Result<(), ConfineError> {
    if options.await_network {
        network::await_way()?;
    }
    if let Some(kept) = options.capabilities {
        drop_capabilities(kept)?;
    }
    if options.no_new_privileges {
        set_no_new_privs(true).map_err(ConfineError::NoNewPrivileges)?;
    }
    if options.write_all || !options.read.is_empty() || !options.write.is_empty() {
        apply_rules(options)?;
    }
    Ok(())
}

/// The bounding set decides what a program that root starts has, so it alone is narrowed.
fn drop_capabilities(kept: u64) -> Result<(), ConfineError> {
    for number in 0..CAPABILITIES {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // A number that the kernel does not know is in no set.
        let held = capability_is_in_bounding_set(one).unwrap_or(false);
        if held && kept & (1 << number) == 0 {
            remove_capability_from_bounding_set(one)
                .map_err(|source| ConfineError::Capability { number, source })?;
        }
    }
    Ok(())
}

fn apply_rules(options: &Options) -> Result<(), ConfineError> {
    let mut writable = options.write.clone();
    if options.write_all {
        writable.extend(entries_of_root()?);
    }
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(&options.read, AccessFs::from_read(KNOWN)))?
        .add_rules(path_beneath_rules(&writable, everything_but_devices()))?
        .restrict_self()?;
    match status.ruleset {
        RulesetStatus::NotEnforced if !options.best_effort => Err(ConfineError::NoLandlock),
        _ => Ok(()),
    }
}

/// A device node that a workload makes is a way around every rule about files.
fn everything_but_devices() -> BitFlags<AccessFs> {
    AccessFs::from_all(KNOWN) & !(AccessFs::MakeBlock | AccessFs::MakeChar)
}

/// What lies in `/`, without the kernel's own knobs.
fn entries_of_root() -> Result<Vec<PathBuf>, ConfineError> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir("/").map_err(ConfineError::Root)? {
        let entry = entry.map_err(ConfineError::Root)?;
        if entry.file_name() != "proc" && entry.file_name() != "sys" {
            entries.push(entry.path());
        }
    }
    Ok(entries)
}
