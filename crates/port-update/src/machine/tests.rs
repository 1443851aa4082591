//! The matrix of every phase and every event, and what holds along every way through it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use port_content::hashing::digest_of;
use proptest::prelude::*;

use super::*;

fn target(sequence: u64) -> Target {
    Target {
        digest: digest_of(format!("release {sequence}").as_bytes()),
        version: format!("v1.{sequence}.0").parse().unwrap(),
        sequence: Some(sequence),
        channel: Some("stable".to_owned()),
        security_epoch: sequence / 3,
    }
}

fn events(sequence: u64) -> Vec<Event> {
    vec![
        Event::Check,
        Event::UpToDate,
        Event::Deferred { until: Some(7) },
        Event::Refused(Class::Rollback),
        Event::Offered(target(sequence)),
        Event::Begin,
        Event::Fetched,
        Event::Verified,
        Event::Staged,
        Event::Activate,
        Event::Reboot,
        Event::BootedNew,
        Event::BootedOld,
        Event::Healthy,
        Event::Unhealthy { last: false },
        Event::Unhealthy { last: true },
        Event::Soaked,
        Event::Failed(Class::Network),
        Event::Rollback,
        Event::TurnedBack,
        Event::Abandon,
        Event::Restarted,
        Event::Block,
        Event::Unblock,
        Event::SlotsLost,
        Event::Repaired,
    ]
}

fn name(event: &Event) -> String {
    let text = format!("{event:?}");
    match event {
        Event::Unhealthy { .. } => text,
        _ => text.split(['(', ' ']).next().unwrap_or_default().to_owned(),
    }
}

/// One state for each phase, all reached by events.
fn reached() -> BTreeMap<Phase, State> {
    let mut found = BTreeMap::from([(Phase::Idle, State::default())]);
    let mut queue = VecDeque::from([State::default()]);
    while let Some(state) = queue.pop_front() {
        for event in events(3) {
            if let Ok((next, _)) = step(&state, &event)
                && !found.contains_key(&next.phase)
            {
                found.insert(next.phase, next.clone());
                queue.push_back(next);
            }
        }
    }
    found
}

/// Where the table leads, as it is documented. A line is a phase, its events behind it; what is not there is illegal.
const MATRIX: &str = include_str!("matrix.txt");

#[test]
fn the_matrix_of_every_phase_and_every_event() {
    let states = reached();
    assert_eq!(states.keys().copied().collect::<Vec<_>>(), Phase::ALL, "every phase is reached");
    let (mut said, mut pairs, mut legal) = (String::new(), 0, 0);
    for (phase, state) in &states {
        said += &format!("{phase}\n");
        for event in events(4) {
            pairs += 1;
            match step(state, &event) {
                Ok((next, effects)) => {
                    legal += 1;
                    let shown: Vec<String> = effects
                        .iter()
                        .map(|effect| {
                            format!("{effect:?}").split(['(', ' ']).next().unwrap_or_default().to_owned()
                        })
                        .collect();
                    let line = format!("  {} -> {} {}", name(&event), next.phase, shown.join(" "));
                    said += &format!("{}\n", line.trim_end());
                }
                Err(illegal) => assert_eq!(illegal.phase, *phase),
            }
        }
    }
    assert_eq!(pairs, Phase::ALL.len() * 26);
    println!("{said}\n{pairs} pairs, {legal} known, {} illegal", pairs - legal);
    assert_eq!(said, MATRIX, "the table changed; docs/formats/update-state.md explains it");
}

#[test]
fn i_12_from_every_phase_a_machine_can_update_again() {
    for (phase, state) in reached() {
        let mut seen = BTreeSet::from([format!("{state:?}")]);
        let mut queue = VecDeque::from([state]);
        let mut free = false;
        while let Some(state) = queue.pop_front() {
            free |= state.phase == Phase::Checking;
            if free || seen.len() > 20_000 {
                break;
            }
            for event in events(9) {
                if let Ok((next, _)) = step(&state, &event)
                    && seen.insert(format!("{next:?}"))
                {
                    queue.push_back(next);
                }
            }
        }
        assert!(free, "{phase} is a dead end");
    }
}

#[test]
fn t_1_each_channel_has_its_own_numbers() {
    let at =
        |channel: Option<&str>, sequence| Target { channel: channel.map(str::to_owned), ..target(sequence) };
    let (stable, lts) = (Some("stable"), Some("lts"));
    for (seen, offered, taken) in [
        (at(stable, 12), at(stable, 11), false),
        (at(stable, 12), at(stable, 13), true),
        (at(stable, 12), at(lts, 4), true),
        // Nobody remembered whose number it was.
        (at(None, 12), at(lts, 4), false),
    ] {
        let mut state = State { phase: Phase::Checking, ..State::default() };
        state.saw(&seen);
        let next = step(&state, &Event::Offered(offered.clone()));
        assert_eq!(next.is_ok(), taken, "{seen:?} {offered:?}");
        if let Ok((next, _)) = next {
            let expected = (offered.sequence, offered.channel);
            assert_eq!((next.highest.map(|(highest, _)| highest), next.highest_channel), expected);
        }
        state.saw(&Target { sequence: None, ..target(1) });
        assert_eq!(state.highest.unwrap().0, 12, "what has no number says nothing");
    }
}

#[test]
fn failures_are_in_a_row() {
    let failed = State { failures: 3, ..State::default() };
    let at = |phase| State { phase, attempt: Some(Attempt::new(1, target(3))), ..failed.clone() };
    for (state, event, expected) in [
        (at(Phase::Checking), Event::Failed(Class::Network), 4),
        (at(Phase::Checking), Event::Refused(Class::Gate), 3),
        (at(Phase::Checking), Event::UpToDate, 0),
        (at(Phase::Checking), Event::Deferred { until: Some(7) }, 0),
        (at(Phase::Staging), Event::Staged, 0),
        (at(Phase::Soaking), Event::Soaked, 0),
    ] {
        let next = step(&state, &event).unwrap().0;
        assert_eq!(next.failures, expected, "{event:?}");
        let until = matches!(event, Event::Deferred { .. }).then_some(7);
        assert_eq!(next.until, until, "{event:?}");
    }
}

#[test]
fn t_20_a_release_that_never_gets_well_is_left_and_denied() {
    let mut state = State::default();
    let good = [
        Event::Check,
        Event::Offered(target(3)),
        Event::Begin,
        Event::Fetched,
        Event::Verified,
        Event::Staged,
        Event::Activate,
        Event::Reboot,
    ];
    for event in &good {
        state = step(&state, event).unwrap().0;
    }
    let mut boots = 0;
    while state.phase != Phase::RollingBack {
        boots += 1;
        assert!(boots < 10, "a reboot loop");
        state = step(&state, &Event::BootedNew).unwrap().0;
    }
    assert!(boots <= MOST_REBOOTS + 1, "{boots} boots");
    let (turned, effects) = step(&state, &Event::TurnedBack).unwrap();
    assert_eq!((turned.phase, effects), (Phase::RollingBack, vec![Effect::Reboot]));
    state = step(&turned, &Event::BootedOld).unwrap().0;
    assert!(state.denied.contains(&target(3).digest));
    state = step(&state, &Event::Check).unwrap().0;
    assert!(step(&state, &Event::Offered(target(3))).is_err(), "offered again");
    assert!(step(&state, &Event::Offered(target(4))).is_ok(), "the next one");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn i_3_i_4_i_6_i_7_i_9_i_10_i_11_hold_on_every_way(choices in prop::collection::vec((0_usize..26, 1_u64..7), 1..200)) {
        let mut state = State::default();
        let mut staged: Option<Digest> = None;
        for (choice, sequence) in choices {
            let event = events(sequence).swap_remove(choice);
            let before = state.clone();
            let Ok((next, effects)) = step(&state, &event) else { continue };
            // I4: one manifest from the offer on.
            let pinned = next.attempt.as_ref().map(|attempt| attempt.target.digest.clone());
            for effect in &effects {
                match effect {
                    Effect::Fetch(digest) | Effect::Verify(digest) => prop_assert_eq!(Some(digest), pinned.as_ref()),
                    Effect::Stage(digest) => {
                        prop_assert_eq!(Some(digest), pinned.as_ref());
                        // I11: only what runs and is committed may be beside a slot that is written.
                        prop_assert!(!before.phase.is_past_arming());
                        prop_assert_eq!(before.phase, Phase::Verifying);
                        staged = Some(digest.clone());
                    }
                    // I3: tries, and only of what was staged.
                    Effect::Arm { tries } => {
                        prop_assert!(*tries >= 1);
                        prop_assert_eq!(staged.as_ref(), pinned.as_ref());
                    }
                    _ => {}
                }
            }
            // I6.
            prop_assert!(next.floor_epoch >= before.floor_epoch);
            prop_assert!(next.floor_epoch == before.floor_epoch || next.phase == Phase::Committed);
            prop_assert!(next.highest.as_ref().map(|it| it.0) >= before.highest.as_ref().map(|it| it.0));
            // I7.
            prop_assert!(next.denied.is_superset(&before.denied));
            if let (Phase::Available, Some(pinned)) = (next.phase, &pinned) {
                prop_assert!(!next.denied.contains(pinned));
            }
            // I9: the way back is never counted out.
            if let Some(attempt) = &next.attempt
                && next.phase != Phase::RollingBack
                && !next.phase.rests()
                && next.phase != Phase::Blocked && next.phase != Phase::Degraded
            {
                prop_assert!(attempt.transitions <= MOST_TRANSITIONS + 4, "{:?}", next);
                prop_assert!(attempt.reboots <= MOST_REBOOTS, "{:?}", next);
            }
            state = next;
        }
    }
}
