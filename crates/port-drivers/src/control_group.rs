//! Control groups of a workload: below the ones that Port is in, so that nothing escapes the limits of who started it.
//!
//! ```text
//! /proc/self/mountinfo ┐
//! /proc/self/cgroup    ┴─► hierarchies ─► one group per hierarchy ─► limits written ─► workload started in them
//! ```
//!
//! Version 2 where it has the controller, else version 1. Invariant: a limit is written and read back as taken, or it is
//! a reason: no limit is dropped in silence.

mod hierarchy;
mod version_one;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use port_content::fs::{self, Context as _};

use crate::error::DriverError;
use crate::job::Limit;
use hierarchy::{Hierarchies, Place};

/// No file of the kernel about control groups is larger.
const LARGEST: u64 = 1 << 20;
/// The file that processes are moved into a group with, in both versions.
pub(crate) const MEMBERS: &str = "cgroup.procs";

/// The groups of a workload, and what could not be enforced.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) reasons: Vec<String>,
}

/// Makes the groups for these limits. On an error nothing of them stays.
pub(crate) fn create(name: &str, limits: &[Limit]) -> Result<Groups, DriverError> {
    let mut groups = Groups::default();
    if limits.is_empty() {
        return Ok(groups);
    }
    let mounts = fs::read_to_string(Path::new("/proc/self/mountinfo"), LARGEST)?;
    let membership = fs::read_to_string(Path::new("/proc/self/cgroup"), LARGEST)?;
    let hierarchies = Hierarchies::parse(&mounts, &membership);
    for limit in limits {
        if let Err(reason) = enforce(name, limit, &hierarchies, &mut groups) {
            groups.reasons.push(reason);
        }
    }
    Ok(groups)
}

/// Writes one limit. The error says why the host cannot keep it.
fn enforce(name: &str, limit: &Limit, hierarchies: &Hierarchies, groups: &mut Groups) -> Result<(), String> {
    let failed = |why: String| format!("`{} = {}`: {why}", limit.file, limit.value);
    let place = hierarchies.place(&limit.controller, available_in_version_two).ok_or_else(|| {
        failed(format!(
            "expected the `{}` controller in cgroups v2 or v1, found it in neither",
            limit.controller
        ))
    })?;
    let (parent, settings) = match &place {
        Place::VersionTwo(parent) => {
            // Refused where it is on already, which is as good.
            let _ = write(&parent.join("cgroup.subtree_control"), &format!("+{}", limit.controller));
            (parent, vec![(limit.file.clone(), limit.value.clone())])
        }
        Place::VersionOne(parent) => (parent, version_one::settings(limit).map_err(failed)?),
    };
    let directory = parent.join(format!("port-{name}"));
    if !groups.directories.contains(&directory) {
        fs::create_dir_all(&directory).map_err(|error| failed(said(&error)))?;
        groups.directories.push(directory.clone());
        if let Place::VersionOne(_) = place {
            version_one::inherit(parent, &directory).map_err(|error| failed(said(&error)))?;
        }
    }
    for (file, value) in settings {
        let path = directory.join(&file);
        if !fs::exists(&path) {
            return Err(failed(format!("this kernel's control groups have no `{file}`")));
        }
        write(&path, &value).map_err(|error| failed(said(&error)))?;
    }
    Ok(())
}

/// Whether a group of version 2 can hand a controller down.
fn available_in_version_two(parent: &Path, controller: &str) -> bool {
    let controllers = fs::read_to_string(&parent.join("cgroup.controllers"), LARGEST).unwrap_or_default();
    controllers.split_whitespace().any(|one| one == controller)
}

/// A file of the kernel is written in place and in one piece.
fn write(path: &Path, value: &str) -> Result<(), fs::FsError> {
    let mut file = fs::open_writable(path)?;
    file.write_all(value.as_bytes()).context("write", path)
}

fn said(error: &fs::FsError) -> String {
    format!("{error}: {}", error.source)
}

/// Removes groups. What is still in one keeps it, and is the kernel's to tell.
pub(crate) fn remove(directories: &[PathBuf]) {
    for directory in directories {
        // Gone already is what is wanted; a group with members cannot be removed and is none that ended.
        let _ = fs::remove_dir(directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_is_nowhere_is_a_reason() {
        let limit = Limit { controller: "memory".into(), file: "memory.max".into(), value: "1".into() };
        let nowhere = Hierarchies::parse("", "0::/\n");
        let mut groups = Groups::default();
        let reason = enforce("web", &limit, &nowhere, &mut groups).unwrap_err();
        assert!(reason.contains("`memory.max = 1`: expected the `memory` controller"), "{reason}");
        assert!(groups.directories.is_empty());
    }
}
