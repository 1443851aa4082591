//! Seccomp profiles as options of nspawn, which has the filters: an allow-list of what containers need, to which groups and
//! names are added and from which they are taken.

use std::path::Path;

use port_workload::{Profile, SeccompWord};

use crate::error::DriverError;
use crate::profile_file;

/// What the launcher calls before it gives up its rights.
const LANDLOCK: &str = "landlock_create_ruleset landlock_add_rule landlock_restrict_self";

/// What `strict` takes away from what containers may call.
const STRICT: &str = "~@clock @cpu-emulation @debug @keyring @module @mount @obsolete @raw-io @reboot @swap bpf \
                      fanotify_init io_uring_enter io_uring_register io_uring_setup kcmp lookup_dcookie \
                      perf_event_open personality quotactl setns unshare userfaultfd";

/// How nspawn filters system calls.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Values of `--system-call-filter`.
    pub(crate) lists: Vec<String>,
    /// Whether there is no filter at all.
    pub(crate) off: bool,
}

/// The filter of a profile.
pub(crate) fn filter(profile: &Profile<SeccompWord>, landlock: bool) -> Result<Filter, DriverError> {
    let mut filter = Filter::default();
    match profile {
        Profile::Known(SeccompWord::Default) => {}
        Profile::Known(SeccompWord::Strict) => filter.lists.push(STRICT.to_owned()),
        Profile::Known(SeccompWord::Unconfined) => filter.off = true,
        Profile::File(path) => filter.lists = of_file(path)?,
    }
    if landlock && !filter.off {
        filter.lists.push(LANDLOCK.to_owned());
    }
    Ok(filter)
}

fn of_file(path: &Path) -> Result<Vec<String>, DriverError> {
    let [allowed, denied] = profile_file::read(path, ["allow", "deny"], is_call)?;
    let lists = [(allowed, ""), (denied, "~")];
    let lists = lists.into_iter().filter(|(names, _)| !names.is_empty());
    Ok(lists.map(|(names, sign)| format!("{sign}{}", names.join(" "))).collect())
}

/// The name of a system call, or `@` and the name of one of systemd's groups.
fn is_call(text: &str) -> Result<(), String> {
    let name = text.strip_prefix('@').unwrap_or(text);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!("expected the name of a system call, or `@` and the name of a group, found `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_25_profiles_become_filters() {
        let known = |word| filter(&Profile::Known(word), true).unwrap();
        assert_eq!(known(SeccompWord::Default).lists, [LANDLOCK]);
        assert!(known(SeccompWord::Strict).lists[0].starts_with("~@clock"));
        assert!(known(SeccompWord::Unconfined).off && known(SeccompWord::Unconfined).lists.is_empty());
        assert_eq!(filter(&Profile::Known(SeccompWord::Default), false).unwrap(), Filter::default());
    }

    #[test]
    fn v_25_a_file_adds_and_takes_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.toml");
        port_content::atomic::write(&path, b"allow = [\"bpf\"]\ndeny = [\"@mount\", \"ptrace\"]\n").unwrap();
        let lists = filter(&Profile::File(path.clone()), false).unwrap().lists;
        assert_eq!(lists, ["bpf", "~@mount ptrace"]);
        for (text, part) in [("allow = [\"a b\"]", "found `a b`"), ("forbid = []", "unknown key")] {
            port_content::atomic::write(&path, text.as_bytes()).unwrap();
            let error = filter(&Profile::File(path.clone()), false).unwrap_err();
            assert!(error.chain().contains(part), "{}", error.chain());
        }
    }
}
