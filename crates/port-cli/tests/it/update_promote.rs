//! `port update release promote`: a release of one channel in another, signed for it, with nothing built or sent.

use serde_json::Value;

use crate::trust::{done, port};
use crate::update_agent::{Fleet, expect};

fn promote(fleet: &Fleet, more: &[&str]) -> port_testkit::project::Ran {
    let place = fleet.place();
    let words = ["update", "release", "promote", "--plain-http", "--repository", &place, "--from", "stable"];
    port(&fleet.machine, &[&words[..], more].concat())
}

const SIGNED: [&str; 6] = ["--sequence", "7", "--key", "release.key", "--name", "os"];

#[test]
fn a_release_of_a_channel_is_promoted_signed_for_the_other_and_taken() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    let sent = fleet.registry.traffic().0;
    let ran = promote(&fleet, &[&["--to", "lts", "--format", "json"][..], &SIGNED].concat());
    expect(&ran, 0);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (said["version"].as_str(), said["signed"]["statement"]["channel"].as_str()),
        (Some("v0.1.0"), Some("lts"))
    );
    assert!(fleet.registry.traffic().0 - sent < 40_000, "documents alone are sent");
    // The version's own tag and its channel stay.
    let tag = |name: &str| fleet.registry.manifest("os/kubesolo", name);
    assert_eq!(tag("v0.1.0"), tag("stable"));
    assert_ne!(tag("lts"), tag("stable"));
    fleet.configure("pubkey = release.pub\nchannel = lts\n");
    fleet.update();
    assert_eq!(fleet.status()["record"]["state"]["highest"][0], 7);
    // An agent that goes by the manifest's words alone takes it, too; on the other channel it does not.
    let unsigned = Fleet::with(port_testkit::registry::Registry::start());
    unsigned.machine.write(
        "update.conf",
        format!("registry = {}\nunsigned = allowed\nstate = s/s.json\nslots = slots\n", fleet.place()),
    );
    expect(&unsigned.verb("check", &["--plain-http", "--channel", "lts"]), 0);
    expect(&unsigned.verb("check", &["--plain-http", "--channel", "edge", "--tag", "lts"]), 24);
    // Once more changes nothing.
    let before = tag("lts");
    expect(&promote(&fleet, &["--to", "lts"]), 0);
    assert_eq!(tag("lts"), before);
}

#[test]
fn a_channel_goes_back_on_purpose_only_and_words_that_cannot_be_move_nothing() {
    let fleet = Fleet::new();
    fleet.release("v0.2.0", 1);
    done_promote(&fleet, "lts");
    let there = fleet.registry.manifest("os/kubesolo", "lts");
    fleet.publish("v0.1.0");
    let ran = promote(&fleet, &["--to", "lts"]);
    assert!(ran.code != 0 && ran.stderr.contains("v0.2.0") && ran.stderr.contains("--overwrite"), "{ran}");
    assert_ne!(promote(&fleet, &["--to", "stable"]).code, 0);
    assert_ne!(promote(&fleet, &["--to", "v9.9.9"]).code, 0);
    expect(&promote(&fleet, &["--to", "lts", "--key", "release.key"]), 2);
    assert_eq!(fleet.registry.manifest("os/kubesolo", "lts"), there);
    expect(&promote(&fleet, &["--to", "lts", "--overwrite"]), 0);
    let place = fleet.place();
    let words = [
        "update",
        "release",
        "promote",
        "--plain-http",
        "--repository",
        &place,
        "--from",
        "nothing",
        "--to",
        "x",
    ];
    assert_ne!(port(&fleet.machine, &words).code, 0);
}

fn done_promote(fleet: &Fleet, to: &str) {
    let place = fleet.place();
    let words = ["update", "release", "promote", "--plain-http", "--repository", &place, "--from", "stable"];
    done(&fleet.machine, &[&words[..], &["--to", to]].concat());
}

/// Whoever can move a tag must not have anything signed by promoting it.
#[test]
fn t_7_what_was_not_signed_for_its_channel_is_not_signed_for_another() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    let lts = || fleet.registry.manifest("os/kubesolo", "lts");
    let signed = |more: &[&str]| promote(&fleet, &[&["--to", "lts"][..], &SIGNED, more].concat());
    // `stable` is swapped for something that nobody signed.
    fleet.publish("v0.2.0");
    let ran = signed(&[]);
    assert!(ran.code == 21 && ran.stderr.contains("--from-pubkey"), "{ran}");
    // Somebody else's.
    fleet.sign("v0.2.0", 2, "other.key", &[]);
    expect(&signed(&[]), 21);
    expect(&signed(&["--from-pubkey", "release.pub"]), 21);
    expect(&signed(&["--from-pubkey", "other.pub", "--unsigned-source"]), 2);
    expect(&promote(&fleet, &["--to", "lts", "--unsigned-source"]), 2);
    assert!(lts().is_none(), "the channel did not move");
    expect(&signed(&["--from-pubkey", "other.pub"]), 0);
    let promoted = lts().unwrap();
    // Signed by the right key, for another channel.
    fleet.registry.add_manifest(
        "os/kubesolo",
        "stable",
        "application/vnd.oci.image.index.v1+json",
        &promoted,
    );
    expect(&promote(&fleet, &[&["--to", "edge"][..], &SIGNED].concat()), 24);
    assert!(fleet.registry.manifest("os/kubesolo", "edge").is_none());
    // As somebody says in as many words.
    fleet.publish("v0.3.0");
    expect(&signed(&["--unsigned-source"]), 0);
    assert_ne!(lts().unwrap(), promoted);
}
