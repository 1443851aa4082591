//! Limits of version 2 in the files of version 1.

use std::path::Path;

use port_content::fs::{self, FsError};

use crate::job::Limit;

/// What a limit is called in version 1. The error completes a reason.
pub(super) fn settings(limit: &Limit) -> Result<Vec<(String, String)>, String> {
    let one = |file: &str, value: String| Ok(vec![(file.to_owned(), value)]);
    let number = || limit.value.rsplit(' ').next().unwrap_or_default().parse::<u64>();
    match limit.file.as_str() {
        "memory.max" => one("memory.limit_in_bytes", limit.value.clone()),
        "memory.high" => one("memory.soft_limit_in_bytes", limit.value.clone()),
        "cpuset.cpus" | "pids.max" => one(&limit.file, limit.value.clone()),
        // 100 is the weight of who says nothing, 1024 are its shares.
        "cpu.weight" => match number() {
            Ok(weight) => {
                one("cpu.shares", (weight.saturating_mul(1024) / 100).clamp(2, 262_144).to_string())
            }
            Err(error) => Err(error.to_string()),
        },
        // The only scheduler with weights in version 1 counts to 1000.
        "io.weight" => match number() {
            Ok(weight) => one("blkio.bfq.weight", weight.clamp(1, 1000).to_string()),
            Err(error) => Err(error.to_string()),
        },
        other => Err(format!("cgroups v1 have nothing like `{other}`")),
    }
}

/// A new group of the cpuset controller has neither processors nor memory, and takes no process without both.
pub(super) fn inherit(parent: &Path, directory: &Path) -> Result<(), FsError> {
    for file in ["cpuset.mems", "cpuset.cpus"] {
        if fs::exists(&directory.join(file)) {
            let value = fs::read_to_string(&parent.join(file), super::LARGEST)?;
            super::write(&directory.join(file), value.trim())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_of_version_two_has_a_name_in_version_one() {
        for (file, value, expected) in [
            ("memory.max", "1048576", ("memory.limit_in_bytes", "1048576")),
            ("memory.high", "4096", ("memory.soft_limit_in_bytes", "4096")),
            ("cpu.weight", "100", ("cpu.shares", "1024")),
            ("cpu.weight", "1", ("cpu.shares", "10")),
            ("cpu.weight", "10000", ("cpu.shares", "102400")),
            ("cpuset.cpus", "0-1,3", ("cpuset.cpus", "0-1,3")),
            ("io.weight", "default 5000", ("blkio.bfq.weight", "1000")),
            ("pids.max", "64", ("pids.max", "64")),
        ] {
            let limit = Limit { controller: String::new(), file: file.into(), value: value.into() };
            let expected = vec![(expected.0.to_owned(), expected.1.to_owned())];
            assert_eq!(settings(&limit), Ok(expected), "{file}");
        }
        let limit = Limit { controller: String::new(), file: "memory.low".into(), value: "1".into() };
        assert!(settings(&limit).is_err());
    }
}
