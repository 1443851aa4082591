//! Limits as the files of a control group, version 2 (acceptance V-28). Writing them, and what version 1 calls them, is
//! the drivers' business.

use crate::plan::Limits;

/// A file of a control group and what is written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The controller that must be there.
    pub controller: &'static str,
    /// The file.
    pub file: &'static str,
    /// Its content.
    pub value: String,
}

impl Limits {
    /// What is written where; nothing for what has no limit.
    pub fn control_group(&self) -> Vec<Setting> {
        let setting =
            |controller, file, value: Option<String>| Some(Setting { controller, file, value: value? });
        let settings = [
            setting("memory", "memory.max", self.memory.map(|size| size.bytes().to_string())),
            // The soft limit slows down and reclaims; `memory.low` would protect, which is another promise.
            setting("memory", "memory.high", self.memory_soft.map(|size| size.bytes().to_string())),
            setting("cpu", "cpu.weight", self.cpu_weight.map(|weight| weight.to_string())),
            setting("cpuset", "cpuset.cpus", self.cpu_set.as_ref().map(ToString::to_string)),
            setting("io", "io.weight", self.io_weight.map(|weight| format!("default {weight}"))),
            setting("pids", "pids.max", self.pids.map(|most| most.to_string())),
        ];
        settings.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_28_limits_are_files_of_a_control_group() {
        assert_eq!(Limits::default().control_group(), []);
        let limits = Limits {
            memory: Some("1G".parse().unwrap()),
            memory_soft: Some("512M".parse().unwrap()),
            cpu_weight: Some(200),
            cpu_set: Some("3,0-1".parse().unwrap()),
            io_weight: Some(50),
            pids: Some(64),
        };
        let written: Vec<_> = limits.control_group().into_iter().map(|one| (one.file, one.value)).collect();
        let expected = [
            ("memory.max", "1073741824"),
            ("memory.high", "536870912"),
            ("cpu.weight", "200"),
            ("cpuset.cpus", "0-1,3"),
            ("io.weight", "default 50"),
            ("pids.max", "64"),
        ];
        assert_eq!(written, expected.map(|(file, value)| (file, value.to_owned())));
    }
}
