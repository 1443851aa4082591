//! `port update check` for a machine: the gates of apply say why or why not, in words and in JSON, and nothing is written.

use serde_json::Value;

use crate::update_agent::{Fleet, expect};

fn check(fleet: &Fleet, more: &[&str]) -> (i32, Value) {
    let words = [&["--plain-http", "--format", "json"], more].concat();
    let ran = fleet.verb("check", &words);
    (ran.code, serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}")))
}

#[test]
fn o_43_ou_17_check_says_what_apply_would_do_and_writes_nothing() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    let (code, said) = check(&fleet, &[]);
    assert_eq!((code, said["outcome"].as_str()), (0, Some("take")));
    assert_eq!((said["version"].as_str(), said["sequence"].as_u64()), (Some("v0.1.0"), Some(1)));
    assert!(said["signed"] == true && said["expires"].as_u64().is_some() && said["current"].is_null());
    assert!(!fleet.machine.exists("state") && !fleet.machine.exists("slots"), "it is passive");
    fleet.update();
    let before = fleet.machine.read("state/state.json");
    let (code, said) = check(&fleet, &[]);
    assert_eq!(
        (code, said["outcome"].as_str(), said["current"].as_str()),
        (10, Some("up-to-date"), Some("v0.1.0"))
    );
    assert_eq!(fleet.machine.read("state/state.json"), before);
}

#[test]
fn o_43_check_refuses_what_apply_refuses_and_says_why() {
    let fleet = Fleet::new();
    fleet.publish("v0.2.0");
    fleet.sign("v0.2.0", 2, "release.key", &["--min-from", "v0.1.0"]);
    for (more, current, code, class) in [
        ("channel = edge\ntag = stable\n", "v0.1.0", 24, "wrong-target"),
        ("name = another\n", "v0.1.0", 24, "wrong-target"),
        ("", "v0.0.9", 20, "gate"),
        ("", "v0.1.0", 0, ""),
    ] {
        fleet.configure(&format!("pubkey = release.pub\n{more}"));
        let (found, said) = check(&fleet, &["--current-version", current]);
        assert_eq!(found, code, "{said:#}");
        if code != 0 {
            assert_eq!((said["outcome"].as_str(), said["class"].as_str()), (Some("refused"), Some(class)));
            assert!(!said["reason"].as_str().unwrap().is_empty());
        }
        let applied = fleet.verb("apply", &["--plain-http", "--current-version", current]);
        assert_eq!(applied.code, code, "{applied}");
    }
    // Nobody's signature is no decision about the release, but an error.
    let fleet = Fleet::new();
    fleet.publish("v0.1.0");
    assert_eq!(fleet.verb("check", &["--plain-http"]).code, 21);
}

#[test]
fn o_43_windows_waves_and_inhibitors_are_said_with_their_end() {
    let fleet = Fleet::new();
    fleet.publish("v0.1.0");
    fleet.sign("v0.1.0", 1, "release.key", &["--wave", "999999:100"]);
    let (code, said) = check(&fleet, &[]);
    assert_eq!((code, said["outcome"].as_str()), (11, Some("deferred")));
    assert!(
        said["until"].as_u64().is_some() && said["reason"].as_str().unwrap().contains("wave"),
        "{said:#}"
    );
    assert_eq!(check(&fleet, &["--force"]).0, 0);
    fleet.configure("pubkey = release.pub\ninhibit_directory = inhibit\n");
    fleet.machine.write("inhibit/backup", "the nightly backup\n");
    fleet.sign("v0.1.0", 2, "release.key", &[]);
    fleet.release("v0.2.0", 3);
    let (code, said) = check(&fleet, &[]);
    assert_eq!((code, said["reason"].as_str()), (11, Some("held up by backup: the nightly backup")));
    let text = fleet.verb("check", &["--plain-http", "--maintenance-window", "00:00-00:00"]).stdout;
    assert!(text.contains("v0.2.0 is offered, and waits: outside the maintenance window"), "{text}");
}

#[test]
fn ou_23_what_anybody_sees_needs_a_tag() {
    let fleet = Fleet::new();
    let place = fleet.place();
    expect(&fleet.verb("check", &["--repository", &place]), 2);
    expect(&fleet.verb("check", &["--architecture", "amd64"]), 2);
    expect(
        &fleet.verb("check", &["--repository", &place, "--server", "https://example.com", "--tag", "a"]),
        2,
    );
}
