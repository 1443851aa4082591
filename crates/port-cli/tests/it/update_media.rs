//! Releases on a medium: an OCI image layout, a directory or a tar archive, without a network.

use std::process::Command;

use port_testkit::skip;
use port_update::slots::SlotName;

use crate::trust::done;
use crate::update_agent::{Fleet, expect};

/// Puts what the channel has onto a medium, signatures and all.
fn copy(fleet: &Fleet) {
    let from = format!("{}:stable", fleet.place());
    done(&fleet.machine, &["artifacts", "copy", "--plain-http", &from, "oci:usb:stable"]);
}

fn apply(fleet: &Fleet, path: &str, more: &[&str]) -> port_testkit::project::Ran {
    fleet.verb("apply", &[&["--media", path, "--force"], more].concat())
}

#[test]
fn a_release_comes_from_a_medium_by_the_same_gates() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    copy(&fleet);
    let before = fleet.registry.requests().len();
    expect(&apply(&fleet, "usb", &[]), 0);
    expect(&fleet.verb("activate", &[]), 0);
    assert_eq!(fleet.boot(), SlotName::B);
    expect(&fleet.well(), 0);
    let ran = fleet.verb("check", &["--media", "usb", "--format", "json"]);
    assert!(ran.code == 10 && ran.stdout.contains("\"sequence\": 1"), "{ran}");
    assert_eq!(fleet.registry.requests().len(), before, "nothing went over the network");
    // An older one, brought by hand.
    fleet.release("v0.2.0", 2);
    fleet.update();
    expect(&apply(&fleet, "usb", &[]), 22);
    // Signed by another, for another place, or of nobody.
    fleet.configure("pubkey = other.pub\n");
    expect(&apply(&fleet, "usb", &[]), 21);
    fleet.configure("pubkey = release.pub\n");
    expect(&apply(&fleet, "usb", &["--registry", "example.com/another/os"]), 21);
    expect(&apply(&fleet, "usb", &["--tag", "edge"]), 30);
    expect(&apply(&fleet, "nothing-here", &[]), 32);
}

#[test]
fn x_25_an_archive_is_taken_like_a_directory_and_what_is_wrong_with_it_is_said() {
    let Some(tar) = skip::tool("tar", "tar") else { return };
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    copy(&fleet);
    let pack = |arguments: &[&str]| {
        let done = Command::new(&tar).args(arguments).current_dir(fleet.machine.path()).status().unwrap();
        assert!(done.success());
    };
    pack(&["-cf", "usb.tar", "-C", "usb", "."]);
    fleet.configure("pubkey = release.pub\nmedia = usb.tar\n");
    expect(&fleet.verb("check", &[]), 0);
    assert_eq!(fleet.update(), SlotName::B);
    let left = port_content::fs::read_dir(&fleet.machine.path().join("state/downloads")).unwrap();
    assert!(left.is_empty(), "{left:?}");
    // A blob that is another, one that is gone, and no layout at all.
    fleet.release("v0.2.0", 2);
    copy(&fleet);
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let kernel = fleet.machine.read(&format!("{own}/vmlinuz"));
    let blob = format!("usb/blobs/sha256/{}", port_content::hashing::digest_of(&kernel).hex());
    let path = fleet.machine.path().join(&blob);
    port_content::fs::remove_file(&path).unwrap();
    fleet.machine.write(&blob, kernel.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>());
    pack(&["-cf", "rotten.tar", "-C", "usb", "."]);
    expect(&apply(&fleet, "rotten.tar", &[]), 26);
    port_content::fs::remove_file(&path).unwrap();
    pack(&["-cf", "gone.tar", "-C", "usb", "."]);
    expect(&apply(&fleet, "gone.tar", &[]), 32);
    pack(&["-cf", "no-layout.tar", "update.conf"]);
    expect(&apply(&fleet, "no-layout.tar", &[]), 32);
    fleet.machine.write("text.tar", "this is no archive at all");
    assert_ne!(apply(&fleet, "text.tar", &[]).code, 0);
    assert_eq!(fleet.boot(), SlotName::B, "what boots is as it was");
}

#[test]
fn policies_ask_for_the_name_that_a_medium_does_not_have() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    copy(&fleet);
    fleet.machine.write("update.conf", "media = usb\nstate = state/state.json\nslots = slots\n");
    let ran = fleet.verb("apply", &[]);
    assert!(ran.code == 2 && ran.stderr.contains("--registry"), "{ran}");
    // A key does without: its releases are its releases wherever they were published.
    expect(&fleet.verb("apply", &["--pubkey", "release.pub"]), 0);
}
