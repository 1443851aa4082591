//! `[resources]`: limits that a control group takes (acceptance V-28 … V-34, Vu-12 … Vu-14).

use crate::cpu_set::CpuSet;
use crate::manifest::Resources;
use crate::memory_size::MemorySize;
use crate::problem::Problems;

/// The weights that control groups know.
const WEIGHTS: std::ops::RangeInclusive<i64> = 1..=10_000;

pub(super) fn check(resources: &Resources, problems: &mut Problems) {
    let mut size = |key: &str, text: &Option<String>| {
        text.as_ref().and_then(|text| problems.take(key, text.parse::<MemorySize>()))
    };
    let limit = size("resources.memory_limit", &resources.memory_limit);
    let soft = size("resources.memory_soft", &resources.memory_soft);
    if let (Some(limit), Some(soft)) = (limit, soft)
        && soft > limit
    {
        let message = format!("expected at most `memory_limit`, which is {limit}, found {soft}");
        problems.error("resources.memory_soft", message);
    }
    for (key, weight) in
        [("resources.cpu_weight", resources.cpu_weight), ("resources.io_weight", resources.io_weight)]
    {
        if let Some(weight) = weight.filter(|weight| !WEIGHTS.contains(weight)) {
            problems.error(key, format!("expected a weight from 1 to 10000, or 0 for none, found {weight}"));
        }
    }
    if let Some(most) = resources.pids_max.filter(|most| *most < 1) {
        problems.error(
            "resources.pids_max",
            format!("expected at least 1 process, or 0 for no limit, found {most}"),
        );
    }
    if let Some(set) = &resources.cpu_set {
        problems.take("resources.cpu_set", set.parse::<CpuSet>());
    }
}
