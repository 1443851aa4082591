//! What Port promises of a transfer, and whether the figures keep it.

use super::large::Large;
use super::results::Case;
use super::rounds::Stage;
use super::{PACKS_ALONE, PORT};
use crate::bench::report::Verdict;

/// How many times Port's time the fastest peer must need.
const FACTOR: f64 = 3.0;
const UPDATE_BY_DELTA: f64 = 0.07;
const UPDATE_BY_PACKS: f64 = 0.17;
/// Of one program, however it is moved.
const PROGRAM: f64 = 0.006;
const WARM_MILLISECONDS: f64 = 10.0;
const MEMORY_MEBIBYTES: f64 = 64.0;
const MIB: f64 = 1_048_576.0;

/// Of the stages of the main case, by stage.
pub(super) fn of_stage(case: &Case, stage: Stage) -> Vec<Verdict> {
    let Some(port) = case.port() else { return Vec::new() };
    match stage {
        Stage::Push | Stage::Pull => {
            let word = if stage == Stage::Push { "cold push" } else { "cold pull" };
            let goal = format!("the {word} moves no more bytes than `zstd -3` of the whole image");
            let bytes = limit(goal, port.wire(stage), case.old_compressed, 1.0);
            faster(case, stage, word).into_iter().chain([bytes]).collect()
        }
        Stage::PushUpdate | Stage::PullUpdate => Vec::new(),
        Stage::PullAgain => {
            let median = port.times(stage).median;
            let goal = format!(
                "a pull of what is there takes under {WARM_MILLISECONDS:.0} ms, start of the process included"
            );
            vec![Verdict { goal, found: format!("{median:.1} ms"), met: median < WARM_MILLISECONDS }]
        }
    }
}

/// Whether there were as many rounds as the goals are about: fewer are no measurement of them.
pub(super) fn of_rounds(rounds: usize, wanted: usize) -> Verdict {
    let goal = format!("the medians are of {wanted} rounds");
    Verdict { goal, found: format!("{rounds} before time ran out"), met: rounds >= wanted }
}

/// What an update moves, in the case of some twenty packages, in that of one program, and in that of the packages in EROFS.
pub(super) fn of_updates(update: &Case, program: &Case, erofs: &Case) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let share = |case: &Case, name: &str, stage: Stage, goal: &str, share: f64| {
        let row = case.row(name)?;
        Some(limit(
            format!("{goal}, at most {:.1} %", share * 100.0),
            row.wire(stage),
            case.new_compressed,
            share,
        ))
    };
    let name = PACKS_ALONE;
    let by_packs = [
        (Stage::PushUpdate, "the push of the updated packages by packs"),
        (Stage::PullUpdate, "their pull by packs"),
    ];
    verdicts.extend(by_packs.map(|(stage, goal)| share(update, name, stage, goal, UPDATE_BY_PACKS)));
    verdicts.push(share(update, PORT, Stage::PullUpdate, "their pull by delta", UPDATE_BY_DELTA));
    for (name, stage, goal) in [
        (PORT, Stage::PullUpdate, "the pull of one changed program by delta"),
        (PACKS_ALONE, Stage::PushUpdate, "the push of one changed program by packs"),
    ] {
        verdicts.push(share(program, name, stage, goal, PROGRAM));
    }
    for (name, stage, goal, part) in [
        (
            PACKS_ALONE,
            Stage::PushUpdate,
            "the push of the updated packages in EROFS by packs",
            UPDATE_BY_PACKS,
        ),
        (PACKS_ALONE, Stage::PullUpdate, "their pull in EROFS by packs", UPDATE_BY_PACKS),
        (PORT, Stage::PullUpdate, "their pull in EROFS by delta", UPDATE_BY_DELTA),
    ] {
        verdicts.push(share(erofs, name, stage, goal, part));
    }
    for (case, goal, share) in [
        (update, "what the delta adds to the push of the updated packages", UPDATE_BY_DELTA),
        (program, "what the delta adds to the push of one changed program", PROGRAM),
    ] {
        if let (Some(both), Some(packs)) = (case.port(), case.row(name)) {
            let delta = both.wire(Stage::PushUpdate).saturating_sub(packs.wire(Stage::PushUpdate));
            let goal = format!("{goal}, at most {:.1} %", share * 100.0);
            verdicts.push(Some(limit(goal, delta, case.new_compressed, share)));
        }
    }
    verdicts.into_iter().flatten().collect()
}

pub(super) fn of_memory(large: &Large) -> Verdict {
    let peak = large.peak_bytes() as f64 / MIB;
    let goal = format!("Port's peak memory stays under {MEMORY_MEBIBYTES:.0} MiB");
    Verdict { goal, found: format!("{peak:.1} MiB"), met: peak < MEMORY_MEBIBYTES }
}

fn faster(case: &Case, stage: Stage, word: &str) -> Option<Verdict> {
    let (name, ratio) = case.fastest_peer(stage)?;
    let goal = format!("the fastest peer needs at least {FACTOR:.0} times Port's time for the {word}");
    let found = format!("{name}, the fastest, needs {ratio:.2} times Port's time");
    Some(Verdict { goal, found, met: ratio >= FACTOR })
}

/// At most `share` of `whole`.
fn limit(goal: String, found: u64, whole: u64, share: f64) -> Verdict {
    let ratio = found as f64 / whole as f64;
    let text =
        format!("{:.2} MiB, {:.2} % of {:.2} MiB", found as f64 / MIB, ratio * 100.0, whole as f64 / MIB);
    Verdict { goal, found: text, met: ratio <= share }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::row;
    use super::*;

    fn case(rows: Vec<super::super::results::Row>) -> Case {
        Case { old_compressed: 1000, new_compressed: 1000, rows }
    }

    #[test]
    fn a_cold_push_must_be_three_times_as_fast_and_no_larger() {
        let met = |milliseconds, wire| {
            let case = case(vec![row(PORT, false, milliseconds, wire), row("oras", true, 30.0, 5000)]);
            of_stage(&case, Stage::Push).iter().map(|verdict| verdict.met).collect::<Vec<_>>()
        };
        assert_eq!(met(10.0, 1000), [true, true]);
        assert_eq!(met(10.1, 1001), [false, false]);
    }

    #[test]
    fn fewer_rounds_than_wanted_are_a_finding() {
        assert!(of_rounds(5, 5).met && of_rounds(3, 3).met);
        let finding = of_rounds(2, 5).finding("Rounds");
        assert_eq!(
            finding.as_deref(),
            Some("Rounds: goal missed: the medians are of 5 rounds; found 2 before time ran out")
        );
    }

    #[test]
    fn deltas_and_packs_have_limits_of_their_own() {
        let rows = |both, packs| vec![row(PORT, false, 1.0, both), row(PACKS_ALONE, false, 1.0, packs)];
        let met = |update: Case, program: Case| {
            of_updates(&update, &program, &update).iter().map(|verdict| verdict.met).collect::<Vec<_>>()
        };
        // Push and pull by packs, pull by delta; program by delta and by packs; EROFS as the first; the two deltas that are pushed.
        assert_eq!(met(case(rows(70, 20)), case(rows(6, 1))), [true; 10]);
        assert_eq!(met(case(rows(300, 200)), case(rows(70, 7))), [false; 10]);
    }
}
