//! Gates, one attack or reason after the other, and that force moves none of the first half.

use port_content::hashing::digest_of;
use proptest::prelude::*;

use super::*;
use crate::release::tests::release;
use crate::waves::Wave;

const NOW: u64 = 1_500_000;

fn device() -> Device {
    Device {
        name: "acme-os".to_owned(),
        channel: "stable".to_owned(),
        architecture: Architecture::X86_64,
        variant: String::new(),
        current: Some("v1.0.0".parse().unwrap()),
        place: 5000,
        window: Window::Always,
    }
}

fn digest(sequence: u64) -> Digest {
    digest_of(format!("release {sequence}").as_bytes())
}

fn memory() -> Memory {
    Memory { highest: Some((5, digest(5))), installed: Some(digest(5)), ..Memory::default() }
}

fn class(decision: &Decision) -> Option<Class> {
    match decision {
        Decision::Refused { class, .. } => Some(*class),
        _ => None,
    }
}

type Change = fn(&mut ReleaseStatement, &mut Device, &mut Memory, &mut u64);

const REFUSALS: [(&str, Class, Change); 12] = [
    ("t_6 channel", Class::WrongTarget, |release, _, _, _| release.channel = "edge".to_owned()),
    ("t_6 name", Class::WrongTarget, |release, _, _, _| release.name = "other".to_owned()),
    ("t_6 architecture", Class::WrongTarget, |release, _, _, _| drop(release.machines.remove(0))),
    ("t_6 variant", Class::WrongTarget, |_, device, _, _| device.variant = "edge-box".to_owned()),
    ("t_1 sequence", Class::Rollback, |release, _, _, _| release.sequence = 4),
    ("t_1 same number, other content", Class::Rollback, |release, _, _, _| release.sequence = 5),
    ("t_1 epoch", Class::Rollback, |_, _, memory, _| memory.floor_epoch = 1),
    ("t_2 expired", Class::Expired, |_, _, _, now| *now = 2_000_000),
    ("t_2 clock turned back", Class::Expired, |_, _, memory, now| (memory.last_time, *now) = (2_000_000, 0)),
    ("i_7 denied", Class::Gate, |_, _, memory, _| memory.denied.extend([digest(6)])),
    ("min_from", Class::Gate, |release, _, _, _| release.min_from = "v1.0.1".parse().ok()),
    ("unknown current", Class::Gate, |release, device, _, _| {
        (release.min_from, device.current) = ("v0.1.0".parse().ok(), None);
    }),
];

#[test]
fn t_1_t_2_t_6_i_13_what_is_refused_is_refused_with_force_too() {
    for (name, expected, change) in REFUSALS {
        let (mut release, mut device, mut memory, mut now) = (release(6), device(), memory(), NOW);
        let decision = decide(&release, &digest(6), (&device, &memory), Moment(now), Force::No);
        assert_eq!(decision, Decision::Take, "before {name}");
        change(&mut release, &mut device, &mut memory, &mut now);
        for force in [Force::No, Force::Skip] {
            let decision = decide(&release, &digest(6), (&device, &memory), Moment(now), force);
            assert_eq!(class(&decision), Some(expected), "{name} {force:?} {decision:?}");
        }
    }
}

#[test]
fn i_13_force_skips_wave_and_window_and_critical_the_wave() {
    let mut release = release(6);
    release.waves =
        vec![Wave { after_seconds: 0, percent: 1 }, Wave { after_seconds: 600_000, percent: 100 }];
    let (mut device, memory) = (device(), memory());
    let ask = |release: &ReleaseStatement, device: &Device, force| {
        decide(release, &digest(6), (device, &memory), Moment(NOW), force)
    };
    let deferred = ask(&release, &device, Force::No);
    assert!(matches!(deferred, Decision::Deferred { until: Some(1_600_000), .. }), "{deferred:?}");
    assert_eq!(ask(&release, &device, Force::Skip), Decision::Take);
    release.critical = true;
    assert_eq!(ask(&release, &device, Force::No), Decision::Take);
    device.window = "00:00-00:00".parse().unwrap();
    assert!(matches!(ask(&release, &device, Force::No), Decision::Deferred { until: None, .. }));
    assert_eq!(ask(&release, &device, Force::Skip), Decision::Take);
}

#[test]
fn what_runs_is_up_to_date() {
    let decision = decide(&release(5), &digest(5), (&device(), &memory()), Moment(NOW), Force::Skip);
    assert_eq!(decision, Decision::UpToDate);
}

#[test]
fn t_1_the_number_of_another_channel_is_none_of_this_one() {
    for (channel, expected) in
        [(None, Some(Class::Rollback)), (Some("stable"), Some(Class::Rollback)), (Some("lts"), None)]
    {
        let mut memory = memory();
        memory.highest_channel = channel.map(str::to_owned);
        let decide =
            |memory: &Memory| decide(&release(4), &digest(4), (&device(), memory), Moment(NOW), Force::No);
        assert_eq!(class(&decide(&memory)), expected, "{channel:?}");
        memory.denied.insert(digest(4));
        assert!(class(&decide(&memory)).is_some(), "what is denied is so on every channel");
    }
}

proptest! {
    #[test]
    fn i_6_nothing_below_the_floor_or_the_highest_is_ever_taken(
        (sequence, highest, epoch, floor, now, last) in (1_u64..9, 1_u64..9, 0_u64..4, 0_u64..4, 0_u64..3_000_000, 0_u64..3_000_000)
    ) {
        let mut release = release(sequence);
        release.security_epoch = epoch;
        let memory = Memory { highest: Some((highest, digest(highest))), floor_epoch: floor, last_time: last, ..Memory::default() };
        let decision = decide(&release, &digest(sequence), (&device(), &memory), Moment(now), Force::Skip);
        let fresh = sequence >= highest && epoch >= floor && now.max(last) < 2_000_000;
        prop_assert_eq!(decision == Decision::Take, fresh);
    }
}

#[test]
fn o_43_o_46_ou_8_ou_9_ou_10_unsigned_releases_pass_the_same_gates() {
    let plain = UnsignedRelease {
        version: "v1.1.0".parse().unwrap(),
        channel: "stable".to_owned(),
        architecture: "amd64".to_owned(),
        min_compatible_version: "v1.0.0".parse().ok(),
    };
    let ask = |change: fn(&mut UnsignedRelease), current: Option<&str>| {
        let mut release = plain.clone();
        change(&mut release);
        let device = Device { current: current.map(|text| text.parse().unwrap()), ..device() };
        decide_unsigned(&release, &digest(6), (&device, &Memory::default()), Moment(NOW), Force::Skip)
    };
    let here = Some("v1.0.0");
    assert_eq!(ask(|_| (), here), Decision::Take);
    assert_eq!(ask(|_| (), Some("v1.1.0")), Decision::UpToDate);
    // C-40: what is empty asks for nothing.
    assert_eq!(
        ask(|it| (it.channel, it.architecture) = (String::new(), String::new()), here),
        Decision::Take
    );
    assert_eq!(ask(|it| it.min_compatible_version = None, None), Decision::Take);
    for (name, expected, change, current) in [
        (
            "channel",
            Class::WrongTarget,
            (|it| it.channel = "edge".to_owned()) as fn(&mut UnsignedRelease),
            here,
        ),
        ("architecture", Class::WrongTarget, |it| it.architecture = "arm64".to_owned(), here),
        ("minimum", Class::Gate, |_| (), Some("v0.9.9")),
        ("unknown", Class::Gate, |_| (), None),
        ("older", Class::Rollback, |_| (), Some("v1.2.0")),
    ] {
        assert_eq!(class(&ask(change, current)), Some(expected), "{name}");
    }
}
