//! The section of docs/benchmarks.md: what was moved, a table per stage, and the goals.

use std::fmt::Write;

use super::goals;
use super::images::Facts;
use super::large::Large;
use super::results::{Case, Row};
use super::rounds::Stage;
use crate::bench::report::{self, Verdict};

const MIB: f64 = 1_048_576.0;

/// Everything that was found.
pub(super) struct Results {
    pub(super) facts: Facts,
    /// The case of some twenty packages, with every subject and all rounds.
    pub(super) update: Case,
    pub(super) program: Case,
    pub(super) erofs: Case,
    pub(super) large: Large,
    /// How many there were, and how many were wanted.
    pub(super) rounds: usize,
    pub(super) wanted_rounds: usize,
}

pub(super) fn title(stage: Stage) -> &'static str {
    match stage {
        Stage::Push => "Push v1",
        Stage::Pull => "Cold pull of v1",
        Stage::PushUpdate => "Push v2",
        Stage::PullUpdate => "Pull v2 where v1 is",
        Stage::PullAgain => "Pull v2 again",
    }
}

pub(super) fn section(results: &Results, plot: &str) -> String {
    let mut text = introduction(results);
    // Writing to a String cannot fail.
    let _ = write!(text, "\n\n![Bytes and time of every client, on logarithmic scales]({plot})\n");
    for stage in Stage::ALL {
        text.push_str(&stage_table(&results.update, stage));
        goals::of_stage(&results.update, stage).iter().for_each(|goal| text.push_str(&goal.paragraph()));
    }
    text.push_str(&updates(results));
    text.push_str(&memory(&results.large));
    text
}

/// One finding per goal that was missed.
pub(super) fn missed(results: &Results) -> Vec<String> {
    let of_stages = Stage::ALL.into_iter().flat_map(|stage| {
        goals::of_stage(&results.update, stage).into_iter().map(move |verdict| (title(stage), verdict))
    });
    let updates = goals::of_updates(&results.update, &results.program, &results.erofs);
    let updates = updates.into_iter().map(|verdict| ("Updates", verdict));
    let memory = std::iter::once(("Memory", goals::of_memory(&results.large)));
    let rounds = std::iter::once(("Rounds", goals::of_rounds(results.rounds, results.wanted_rounds)));
    let all = of_stages.chain(updates).chain(memory).chain(rounds);
    all.filter_map(|(title, verdict): (_, Verdict)| verdict.finding(title)).collect()
}

fn introduction(results: &Results) -> String {
    let Results { facts, update, program, erofs, rounds, .. } = results;
    let updated: Vec<_> = facts.updated().map(|package| package.name.as_str()).collect();
    format!(
        "## Root file systems at a registry, beside other clients\n\n\
         `cargo xtask bench transfer`. v1: {packages} Debian packages in the release's own versions, {files} files of \
         {file_mebibytes:.0} MiB in an ext4 image of 1 GiB ({allocated:.0} MiB are no hole; `zstd -3` of it: {zstd_old:.1} \
         MiB). v2: the same with {count} packages in their newest versions, security updates included ({zstd_new:.1} MiB): \
         {updated}. vt: v1 with `{program}` ({program_mib:.1} MiB) of v2 and one more line in a file of settings \
         ({zstd_program:.1} MiB). And v1 and v2 as EROFS ({erofs_old:.1} and {erofs_new:.1} MiB). All written by `port \
         artifacts build`.\n\n\
         Each client goes through all stages in turns, {rounds} rounds, the order changing; it starts with an empty \
         directory and an empty registry (Debian's `docker-registry` on loopback), and nothing is left to be written to the \
         disk when a stage starts. Whole processes from start to end. v2 is pushed from where v1 was pushed, and pulled to \
         where v1 was pulled. Bytes: both directions, counted by a forwarder in a round that is not timed, in which every \
         pulled image is compared; what casync adds to its local directory of chunks stands for its push. Registry: what \
         lies on its disk afterwards. Peak memory: the highest `VmHWM`, helpers included. oras, regctl, crane and skopeo \
         carry the image as it is, as they carry any file; crane and skopeo are given its digests. \"zstd -3 + oras\" is \
         for comparison and no peer of the goals.\n\n{conditions}",
        packages = facts.packages.len(),
        files = facts.files,
        file_mebibytes = facts.file_bytes as f64 / MIB,
        allocated = facts.allocated as f64 / MIB,
        zstd_old = update.old_compressed as f64 / MIB,
        zstd_new = update.new_compressed as f64 / MIB,
        count = updated.len(),
        updated = updated.join(", "),
        program = facts.changed.path,
        program_mib = facts.changed.size as f64 / MIB,
        zstd_program = program.new_compressed as f64 / MIB,
        erofs_old = erofs.old_compressed as f64 / MIB,
        erofs_new = erofs.new_compressed as f64 / MIB,
        conditions = report::conditions()
    )
}

fn stage_table(case: &Case, stage: Stage) -> String {
    let mut text = format!("\n### {}\n\n", title(stage));
    text.push_str("| client | median | least | most | ratio to Port | bytes | peak memory |");
    text.push_str(if stage.is_push() { " registry |\n" } else { "\n" });
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    text.push_str(if stage.is_push() { " ---: |\n" } else { "\n" });
    for row in case.rows.iter().filter(|row| !row.timed.is_empty()) {
        let times = row.times(stage);
        let _ = write!(
            text,
            "| {} | {:.1} ms | {:.1} ms | {:.1} ms | {:.2} | {:.2} MiB | {:.1} MiB |",
            row.name,
            times.median,
            times.least,
            times.most,
            case.ratio(row, stage),
            row.wire(stage) as f64 / MIB,
            row.peak_bytes(stage) as f64 / MIB
        );
        if stage.is_push() {
            let _ = write!(text, " {:.1} MiB |", row.stored(stage) as f64 / MIB);
        }
        text.push('\n');
    }
    text
}

/// The bytes of every kind of update, in parts of what `zstd -3` makes of the new image.
fn updates(results: &Results) -> String {
    let mut text =
        "\n### Bytes of updates\n\nIn brackets: part of what `zstd -3` makes of the whole new image.\n\n\
                    | update | client | push | pull | registry after |\n| --- | --- | ---: | ---: | ---: |\n"
            .to_owned();
    for (what, case) in [
        ("packages", &results.update),
        ("one program", &results.program),
        ("packages, EROFS", &results.erofs),
    ] {
        for row in &case.rows {
            let share = |stage| of_whole(row, stage, case.new_compressed);
            let (push, pull) = (share(Stage::PushUpdate), share(Stage::PullUpdate));
            let stored = row.stored(Stage::PushUpdate) as f64 / MIB;
            let _ = writeln!(text, "| {what} | {} | {push} | {pull} | {stored:.1} MiB |", row.name);
        }
    }
    let goals = goals::of_updates(&results.update, &results.program, &results.erofs);
    goals.iter().for_each(|goal| text.push_str(&goal.paragraph()));
    text
}

fn of_whole(row: &Row, stage: Stage, whole: u64) -> String {
    let bytes = row.wire(stage) as f64;
    format!("{:.2} MiB ({:.2} %)", bytes / MIB, bytes * 100.0 / whole as f64)
}

fn memory(large: &Large) -> String {
    let mut text = format!(
        "\n### Memory at {} GiB\n\nAn ext4 image of {} MiB, of which {:.0} MiB are no hole, and its successor; Port, once.\n\n\
         | stage | time | peak memory |\n| --- | ---: | ---: |\n",
        large.size >> 30,
        large.size >> 20,
        large.allocated as f64 / MIB
    );
    for (stage, taken) in large.stages() {
        let peak = taken.run.peak_bytes as f64 / MIB;
        let _ = writeln!(text, "| {} | {:.0} ms | {peak:.1} MiB |", title(stage), taken.run.milliseconds);
    }
    text.push_str(&goals::of_memory(large).paragraph());
    text
}

#[cfg(test)]
mod tests {
    use super::super::packages::Package;
    use super::super::results::tests::{row, taken};
    use super::super::tree::Replaced;
    use super::super::{PACKS_ALONE, PORT};
    use super::*;

    fn package(name: &str, old: &str, new: &str) -> Package {
        Package { name: name.to_owned(), old: old.to_owned(), new: new.to_owned() }
    }

    fn case() -> Case {
        let mut packs = row(PACKS_ALONE, false, 1.0, 2 << 20);
        packs.timed.clear();
        let rows = vec![row(PORT, false, 5.0, 1 << 20), row("oras", true, 20.0, 1024 << 20), packs];
        Case { old_compressed: 100 << 20, new_compressed: 100 << 20, rows }
    }

    fn results() -> Results {
        let facts = Facts {
            packages: vec![package("bash", "1", "1"), package("openssl", "1", "2")],
            files: 9,
            file_bytes: 300 << 20,
            allocated: 310 << 20,
            changed: Replaced { path: "/usr/bin/perl".to_owned(), size: 4 << 20 },
        };
        let large = Large { size: 8 << 30, allocated: 2 << 30, taken: vec![taken(9.0, 1); 5] };
        Results { facts, update: case(), program: case(), erofs: case(), large, rounds: 5, wanted_rounds: 5 }
    }

    #[test]
    fn the_section_has_a_table_per_stage_and_every_goal() {
        let results = results();
        let text = section(&results, "plot.svg");
        for stage in Stage::ALL {
            assert_eq!(text.matches(&format!("\n### {}\n", title(stage))).count(), 1);
        }
        assert!(text.contains("2 Debian packages") && text.contains("the same with 1 packages"), "{text}");
        assert!(
            text.contains("| oras | 20.0 ms | 20.0 ms | 20.0 ms | 4.00 | 1024.00 MiB | 1.0 MiB |"),
            "{text}"
        );
        assert!(
            text.contains("| packages, EROFS | port | 1.00 MiB (1.00 %) | 1.00 MiB (1.00 %) | 2.0 MiB |"),
            "{text}"
        );
        // Two cold ones with time and bytes, the warm one, ten of updates, memory.
        assert_eq!(text.matches("\nGoal: ").count(), 16, "{text}");
        // One program costs a hundredth here, and that is too much.
        let missed = missed(&results);
        assert_eq!(missed.len(), text.matches("**missed**").count());
        assert!(missed.iter().any(|goal| goal.contains("one changed program by delta")), "{missed:?}");
    }
}
