//! What keeps a machine waiting, and what keeps a release away: back-off, inhibitors, denials, lost slots, boots.

use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};
use port_update::slots::SlotName;
use serde_json::Value;

use crate::update_agent::{Fleet, expect};

const DEFERRED: i32 = 11;

#[test]
fn after_a_failure_a_machine_waits_longer_each_time_and_asks_nobody() {
    let fleet = Fleet::with(Registry::with(Abilities::default(), Box::new(gone)));
    fleet.configure("pubkey = release.pub\nbackoff_seconds = 600\n");
    let mut ends = Vec::new();
    for failures in 1..=3 {
        expect(&fleet.verb("apply", &["--plain-http", "--force"]), 30);
        let status = fleet.status();
        assert_eq!(status["record"]["state"]["failures"], failures);
        let until = status["record"]["state"]["until"].as_u64().unwrap();
        let wait = until - status["record"]["last_time"].as_u64().unwrap();
        let step = 600_u64 << (failures - 1);
        assert!((step / 2..=step + 1).contains(&wait), "{failures}: {wait}");
        ends.push(until);
    }
    // Another process knows, too; and nobody was asked.
    let before = fleet.registry.requests().len();
    let ran = fleet.apply();
    assert!(ran.code == DEFERRED && ran.stdout.contains("the last 3 tries failed, until"), "{ran}");
    assert_eq!(fleet.registry.requests().len(), before);
    fleet.is_at("failed");
    let text = fleet.verb("status", &[]).stdout;
    assert!(text.contains("waits     until"), "{text}");
    let metrics = fleet.verb("metrics", &[]).stdout;
    assert!(metrics.contains(&format!("port_update_waits_until_timestamp {}", ends[2])), "{metrics}");
    // A clock that was set back by years does not make it wait for years.
    let state = String::from_utf8(fleet.machine.read("state/state.json")).unwrap();
    fleet.machine.write(
        "state/state.json",
        state.replace(&format!("\"until\": {}", ends[2]), "\"until\": 99999999999"),
    );
    expect(&fleet.apply(), 30);
}

fn gone(request: &Request) -> Action {
    let asks = request.method == "GET" && request.target.contains("/manifests/");
    if asks { Action::Answer(Reply::new(404, b"")) } else { Action::Pass }
}

#[test]
fn an_inhibitor_blocks_and_lets_go() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    fleet.configure("pubkey = release.pub\ninhibit_directory = inhibit\n");
    fleet.machine.write("inhibit/backup", "the nightly backup\n");
    for _ in 0..2 {
        expect(&fleet.apply(), DEFERRED);
        fleet.is_at("blocked");
    }
    let text = fleet.verb("status", &[]).stdout;
    assert!(text.contains("held by   backup: the nightly backup"), "{text}");
    assert!(fleet.verb("metrics", &[]).stdout.contains("port_update_phase{phase=\"blocked\"} 1"));
    port_content::fs::remove_file(&fleet.machine.path().join("inhibit/backup")).unwrap();
    expect(&fleet.apply(), 0);
    fleet.is_at("staged");
    // What is staged stays staged while somebody holds updates up.
    fleet.machine.write("inhibit/backup", "");
    expect(&fleet.apply(), DEFERRED);
    fleet.is_at("staged");
    assert_eq!(fleet.status()["record"]["blocked_by"], "backup");
    expect(&fleet.verb("apply", &["--plain-http", "--force"]), 0);
}

#[test]
fn i_7_denials_are_shown_with_their_reason_and_taken_back_by_an_operator_alone() {
    let fleet = Fleet::on_trial();
    let sick = ["--command", "/bin/false", "--auto-rollback-after", "1"];
    expect(&fleet.verb("healthcheck", &sick), 50);
    assert_eq!(fleet.boot(), SlotName::B);
    expect(&fleet.well(), 0);
    expect(&fleet.verb("apply", &["--plain-http", "--force"]), 20);
    let text = fleet.verb("status", &[]).stdout;
    let denied = text.lines().find(|line| line.starts_with("  denied")).unwrap();
    assert!(denied.contains("v0.2.0") && denied.contains("/bin/false"), "{text}");
    let digest = fleet.status()["record"]["state"]["denied"][0].as_str().unwrap().to_owned();
    let other = digest.replace(|letter: char| letter.is_ascii_digit(), "0");
    expect(&fleet.verb("allow", &["sha256:xyz"]), 2);
    expect(&fleet.verb("allow", &[]), 2);
    let ran = fleet.verb("allow", &[&other.replace("sha000", "sha256")]);
    assert!(ran.code == 5 && ran.stderr.contains("was not denied here"), "{ran}");
    let ran = fleet.verb("allow", &[&digest, "--format", "json"]);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["allowed"][0], digest.as_str());
    expect(&fleet.verb("apply", &["--plain-http", "--force"]), 0);
    assert!(fleet.status()["record"]["denials"].as_object().unwrap().is_empty());
}

#[test]
fn what_a_later_release_withdraws_is_denied_from_then_on() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    let withdrawn = fleet.registry.manifest("os/kubesolo", "stable").unwrap();
    let digest = port_content::hashing::digest_of(&withdrawn).to_string();
    fleet.publish("v0.2.0");
    fleet.sign("v0.2.0", 2, "release.key", &["--deny", &digest]);
    fleet.update();
    assert_eq!(fleet.status()["record"]["state"]["denied"][0], digest.as_str());
    let text = fleet.verb("status", &[]).stdout;
    assert!(text.contains("withdrawn by v0.2.0"), "{text}");
    expect(&fleet.verb("allow", &["--all"]), 0);
    assert_eq!(fleet.status()["record"]["state"]["denied"].as_array().unwrap().len(), 0);
}

#[test]
fn a_machine_without_a_good_slot_waits_for_an_operator() {
    let fleet = Fleet::on_trial();
    // The way back rots, and the new system is sick.
    fleet.machine.write("slots/B/vmlinuz", "rotten");
    let boot = fleet.machine.read("slots/boot.json");
    let sick = ["--command", "/bin/false", "--auto-rollback-after", "1"];
    expect(&fleet.verb("healthcheck", &sick), 32);
    fleet.is_at("degraded");
    assert_eq!(fleet.machine.read("slots/boot.json"), boot, "what boots is as it was");
    for (verb, code) in [("apply", 40), ("activate", 40), ("rollback", 40), ("healthcheck", 50)] {
        let more: &[&str] = if verb == "apply" { &["--plain-http", "--force"] } else { &[] };
        expect(&fleet.verb(verb, more), code);
        fleet.is_at("degraded");
    }
    assert!(fleet.verb("status", &[]).stdout.contains("port update repair"));
    expect(&fleet.verb("repair", &[]), 0);
    fleet.is_at("idle");
    assert_eq!(fleet.boot(), SlotName::A, "what ran when the operator said so");
    expect(&fleet.verb("repair", &[]), 40);
    fleet.release("v0.3.0", 3);
    assert_eq!(fleet.update(), SlotName::B);
}

#[test]
fn a_boot_is_asked_for_where_somebody_says_so() {
    let fleet = Fleet::new();
    let program = fleet.machine.write("reboot", "#!/bin/sh\necho boot >>booted\n");
    port_content::fs::set_mode(&program, 0o755).unwrap();
    fleet.configure(&format!("pubkey = release.pub\nreboot_command = {}\n", program.display()));
    fleet.release("v0.1.0", 1);
    expect(&fleet.apply(), 0);
    expect(&fleet.verb("activate", &["--reboot"]), 0);
    fleet.is_at("rebooting");
    assert_eq!(fleet.machine.read("booted"), b"boot\n");
    assert_eq!(fleet.boot(), SlotName::B);
    let sick = ["--command", "/bin/false", "--auto-rollback-after", "1", "--reboot"];
    expect(&fleet.verb("healthcheck", &sick), 50);
    fleet.is_at("rolling-back");
    assert_eq!(fleet.machine.read("booted"), b"boot\nboot\n");
    assert_eq!(fleet.boot(), SlotName::A);
    expect(&fleet.well(), 0);
    fleet.is_at("rolled-back");
    // A program that does not do it is said, and the trial stays as it was.
    fleet.release("v0.2.0", 2);
    expect(&fleet.apply(), 0);
    fleet.configure("pubkey = release.pub\nreboot_command = /bin/false\n");
    expect(&fleet.verb("activate", &["--reboot"]), 32);
    fleet.is_at("rebooting");
    assert_eq!(fleet.boot(), SlotName::B);
}
