//! Records: kept, torn, and made anew from what boots.

use port_content::hashing::digest_of;

use super::*;
use crate::machine::Target;
use crate::release::BootSet;
use crate::slots::{BootState, SlotName, Trial};
use port_model::Architecture;

fn header(number: u64) -> Header {
    let target = Target {
        digest: digest_of(&[number as u8]),
        version: format!("v1.{number}.0").parse().unwrap(),
        sequence: Some(number),
        security_epoch: number,
    };
    let set = BootSet {
        architecture: Architecture::X86_64,
        variant: String::new(),
        parts: Vec::new(),
        boot_arguments: None,
    };
    Header::of(&target, &set)
}

fn evidence(running: SlotName, kept: SlotName, trial: Option<u32>) -> Evidence {
    let trial = trial.map(|tries| Trial { slot: SlotName::B, tries });
    Evidence { boot: BootState { running, kept, trial }, a: Some(header(1)), b: Some(header(2)) }
}

#[test]
fn t_22_a_record_that_is_torn_is_made_anew_from_the_boot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    assert_eq!(Record::load(&path), (Record::default(), Found::Missing));
    let mut record = Record::rebuilt(&evidence(SlotName::A, SlotName::A, None));
    record.save(&path).unwrap();
    assert_eq!(Record::load(&path), (record, Found::Whole));
    let whole = fs::read(&path, 100_000).unwrap();
    for bytes in [&b""[..], b"garbage", &whole[..whole.len() / 2], b"{\"version\":1}", b"[]"] {
        atomic::write(&path, bytes).unwrap();
        assert!(matches!(Record::load(&path), (_, Found::Broken(_))));
    }
    let text = String::from_utf8(whole).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    atomic::write(&path, text.as_bytes()).unwrap();
    assert!(matches!(Record::load(&path), (_, Found::Broken(reason)) if reason.contains("version")));
}

#[test]
fn i_8_what_boots_says_where_an_update_is() {
    use SlotName::{A, B};
    for (evidence, phase, committed) in [
        (evidence(A, A, None), Phase::Idle, 1),
        (evidence(B, B, None), Phase::Idle, 2),
        (evidence(A, A, Some(3)), Phase::Armed, 1),
        (evidence(B, A, Some(2)), Phase::Trial, 1),
    ] {
        let record = Record::rebuilt(&evidence);
        let state = &record.state;
        assert_eq!(state.phase, phase, "{evidence:?}");
        assert_eq!(state.committed.as_ref().unwrap().sequence, Some(committed));
        assert_eq!((state.floor_epoch, state.highest.as_ref().unwrap().0), (committed, 2));
    }
}

#[test]
fn i_8_a_boot_is_seen_whatever_the_record_says() {
    use SlotName::{A, B};
    let at = |phase, told| {
        let mut record = Record::rebuilt(&evidence(B, A, Some(2)));
        record.state.phase = phase;
        record.told = told;
        record.boot_id = Some("one".to_owned());
        record
    };
    for (phase, told, evidence, id, expected) in [
        (Phase::Armed, true, evidence(B, A, Some(2)), "two", Some(Event::BootedNew)),
        (Phase::Armed, true, evidence(A, A, Some(3)), "one", None),
        (Phase::Armed, true, evidence(A, A, None), "two", Some(Event::BootedOld)),
        (Phase::Armed, false, evidence(A, A, None), "two", None),
        (Phase::Rebooting, true, evidence(A, A, Some(0)), "two", Some(Event::BootedOld)),
        (Phase::Trial, true, evidence(B, A, Some(2)), "one", None),
        (Phase::Trial, true, evidence(B, A, Some(1)), "two", Some(Event::BootedNew)),
        (Phase::Soaking, true, evidence(A, A, None), "two", Some(Event::BootedOld)),
        (Phase::RollingBack, true, evidence(B, A, None), "one", None),
        (Phase::RollingBack, true, evidence(A, A, None), "two", Some(Event::BootedOld)),
        (Phase::Idle, true, evidence(B, B, None), "two", None),
    ] {
        assert_eq!(at(phase, told).news(&evidence, Some(id)), expected, "{phase} {evidence:?}");
    }
}
