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
        channel: Some("stable".to_owned()),
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
    assert_eq!(Record::load(&path).unwrap(), (Record::default(), Found::Missing));
    let mut record = Record::rebuilt(&evidence(SlotName::A, SlotName::A, None));
    record.save(&path).unwrap();
    assert_eq!(Record::load(&path).unwrap(), (record, Found::Whole));
    let whole = fs::read(&path, 100_000).unwrap();
    for bytes in [&b""[..], b"garbage", &whole[..whole.len() / 2], b"{\"version\":1}", b"[]"] {
        atomic::write(&path, bytes).unwrap();
        assert!(matches!(Record::load(&path).unwrap(), (_, Found::Broken(_))));
    }
    let text = String::from_utf8(whole).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    atomic::write(&path, text.as_bytes()).unwrap();
    assert!(matches!(Record::load(&path).unwrap(), (_, Found::Broken(reason)) if reason.contains("version")));
}

/// A way back onto an older agent, whose own denials are in there.
#[test]
fn i_7_a_record_of_a_newer_agent_keeps_its_denials() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let mut record = Record::rebuilt(&evidence(SlotName::B, SlotName::A, Some(2)));
    let (withdrawn, by) = (digest_of(b"withdrawn"), "v1.3.0".parse().unwrap());
    record.withdraw(std::slice::from_ref(&withdrawn), &by, 7);
    record.save(&path).unwrap();
    let mut document: serde_json::Value = serde_json::from_slice(&fs::read(&path, 100_000).unwrap()).unwrap();
    let own = withdrawn.to_string();
    for place in [
        "",
        "/state",
        "/state/attempt",
        "/state/attempt/target",
        "/state/committed",
        "/counts",
        &format!("/denials/{own}"),
    ] {
        let object = document.pointer_mut(place).and_then(serde_json::Value::as_object_mut);
        object.unwrap_or_else(|| panic!("{place}")).insert("of_later".to_owned(), serde_json::json!(1));
    }
    atomic::write(&path, document.to_string().as_bytes()).unwrap();
    let (read, found) = Record::load(&path).unwrap();
    assert_eq!((&read, found), (&record, Found::Whole));
    assert!(read.state.denied.contains(&withdrawn) && read.denials.contains_key(&withdrawn));
}

#[test]
fn i_7_a_record_that_the_disk_does_not_give_is_no_record_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    fs::create_dir_all(&path).unwrap();
    assert!(Record::load(&path).is_err());
    let journal = crate::Journal::open(&path, &evidence(SlotName::A, SlotName::A, None), None, 7);
    assert!(matches!(journal, Err(crate::JournalError::Files(_))), "{journal:?}");
    // One that no agent wrote is garbage like any other.
    let long = directory.path().join("long.json");
    atomic::write(&long, &vec![b' '; LARGEST as usize + 1]).unwrap();
    assert!(matches!(Record::load(&long).unwrap(), (_, Found::Broken(_))));
}

#[test]
fn t_1_a_number_that_is_made_anew_is_of_the_channel_that_is_kept() {
    let mut evidence = evidence(SlotName::A, SlotName::A, None);
    let other = evidence.b.as_mut().unwrap();
    other.target.channel = Some("lts".to_owned());
    let state = Record::rebuilt(&evidence).state;
    assert_eq!((state.highest.unwrap().0, state.highest_channel.as_deref()), (1, Some("stable")));
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
