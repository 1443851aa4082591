//! A release with a root file system and boot arguments: bound by what is signed, staged together, and moved by its changed blocks.

use port_update::slots::SlotName;
use serde_json::Value;

use crate::trust::done;
use crate::update::publish_arguments;
use crate::update_agent::{Fleet, expect};

const SIZE: usize = 6 << 20;
const ARGUMENTS: &str = "root=PARTLABEL=OS{slot} ro quiet";

/// The index is a hint: a registry that lost it has the root still.
#[test]
fn a_block_index_that_is_gone_costs_bytes_and_no_update() {
    let fleet = Fleet::new();
    let one = image(1);
    release(&fleet, "v0.1.0", 1, &one, ARGUMENTS);
    fleet.update();
    let mut two = one.clone();
    two[100_000] ^= 1;
    release(&fleet, "v0.2.0", 2, &two, ARGUMENTS);
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let manifest = fleet.registry.manifest("os/kubesolo", &format!("v0.2.0-{own}")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let index = layers.iter().find(|layer| layer.to_string().contains("rootfs.img.blocks")).unwrap();
    fleet.registry.lose_blob(index["digest"].as_str().unwrap());
    assert_eq!(fleet.update(), SlotName::A);
    assert_eq!(fleet.machine.read("slots/A/rootfs.img"), two);
    assert_eq!(root_bytes(&fleet, &two), SIZE as u64);
}

/// Bytes that repeat nowhere.
fn image(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..SIZE).map(next).collect()
}

/// Publishes and signs a version with this root.
fn release(fleet: &Fleet, version: &str, sequence: u64, root: &[u8], arguments: &str) {
    publish(fleet, version, root, arguments);
    fleet.sign(version, sequence, "release.key", &[]);
}

fn publish(fleet: &Fleet, version: &str, root: &[u8], arguments: &str) {
    fleet.machine.write("rootfs.img", root);
    for architecture in ["amd64", "arm64"] {
        let words = publish_arguments(&fleet.machine, &fleet.place(), version, architecture);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let more = ["--root-filesystem", "rootfs.img", "--boot-arguments", arguments];
        done(&fleet.machine, &[&words[..], &more].concat());
    }
    let place = fleet.place();
    let words = ["update", "index", "--plain-http", "--repository", &place, "--version", version];
    done(&fleet.machine, &[&words[..], &["--channel", "stable", "--overwrite"]].concat());
}

fn root_bytes(fleet: &Fleet, root: &[u8]) -> u64 {
    let blob = format!("/blobs/{}", port_content::hashing::digest_of(root));
    let requests = fleet.registry.requests();
    let ranges = requests.iter().filter(|request| request.method == "GET" && request.target.ends_with(&blob));
    let length = |range: &str| {
        let (from, to) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))?;
        Some(to.parse::<u64>().ok()?.saturating_sub(from.parse().ok()?) + 1)
    };
    ranges.map(|request| length(request.header("range")).unwrap_or(root.len() as u64)).sum()
}

#[test]
fn a_root_and_boot_arguments_are_staged_and_only_changed_blocks_move() {
    let fleet = Fleet::new();
    let one = image(1);
    release(&fleet, "v0.1.0", 1, &one, ARGUMENTS);
    assert_eq!(fleet.update(), SlotName::B);
    assert_eq!(fleet.machine.read("slots/B/rootfs.img"), one);
    let header: Value = serde_json::from_slice(&fleet.machine.read("slots/B/slot.json")).unwrap();
    assert_eq!(header["boot_arguments"], ARGUMENTS);
    assert_eq!(header["parts"].as_array().unwrap().len(), 3);
    // Two places change, and a megabyte moves to the front.
    let mut two = one.clone();
    two[100_000] ^= 1;
    two[5_000_000] ^= 1;
    two.rotate_right(1 << 20);
    release(&fleet, "v0.2.0", 2, &two, ARGUMENTS);
    assert_eq!(fleet.update(), SlotName::A);
    assert_eq!(fleet.machine.read("slots/A/rootfs.img"), two);
    assert_eq!(fleet.machine.read("slots/B/rootfs.img"), one, "what ran is as it was");
    let moved = root_bytes(&fleet, &two);
    assert!(moved < 100_000, "{moved} bytes of {SIZE}");
    let metrics = fleet.verb("metrics", &[]).stdout;
    let resumed = metrics.lines().find_map(|line| line.strip_prefix("port_update_resumed_bytes_total "));
    assert!(resumed.unwrap().parse::<usize>().unwrap() > SIZE - 100_000, "{metrics}");
    assert!(port_content::fs::read_dir(&fleet.machine.path().join("state/downloads")).unwrap().is_empty());
    // The next release has none: nothing of the old one is left in its slot.
    fleet.release("v0.3.0", 3);
    assert_eq!(fleet.update(), SlotName::B);
    assert!(!fleet.machine.exists("slots/B/rootfs.img"));
}

#[test]
fn t_4_ranges_that_are_not_what_was_signed_are_not_installed() {
    let fleet = Fleet::new();
    let one = image(1);
    release(&fleet, "v0.1.0", 1, &one, "");
    fleet.update();
    let mut two = one.clone();
    two[100_000] ^= 1;
    release(&fleet, "v0.2.0", 2, &two, "");
    let mut lie = two.clone();
    lie[100_001] ^= 1;
    let digest = port_content::hashing::digest_of(&two).to_string();
    fleet.registry.lie(&digest, &lie);
    expect(&fleet.apply(), 26);
    assert!(!fleet.machine.exists("slots/A/slot.json"));
    fleet.registry.lie(&digest, &two);
    expect(&fleet.apply(), 0);
    assert_eq!(fleet.machine.read("slots/A/rootfs.img"), two);
}

#[test]
fn t_3_arguments_that_were_not_signed_are_refused() {
    let fleet = Fleet::new();
    publish(&fleet, "v0.1.0", b"a small root", ARGUMENTS);
    let place = fleet.place();
    let said =
        ["--tag", "v0.1.0", "--name", "os", "--sequence", "2", "--key", "other.key", "--format", "json"];
    let words = ["update", "sign", "--plain-http", "--repository", &place];
    let ran = done(&fleet.machine, &[&words[..], &said].concat());
    let statement = serde_json::from_str::<Value>(&ran.stdout).unwrap()["statement"].to_string();
    let other = statement.replace("quiet", "init=/bin/sh");
    assert_ne!(other, statement);
    fleet.machine.write("predicate.json", other);
    let tag = format!("{place}:v0.1.0");
    let attest = ["artifacts", "attest", "--plain-http", &tag, "--key", "release.key"];
    let kind = ["--type", "urn:vnd.port:release:v1", "--predicate", "predicate.json"];
    done(&fleet.machine, &[&attest[..], &kind].concat());
    let ran = fleet.apply();
    assert!(ran.code == 25 && ran.stderr.contains("init=/bin/sh"), "{ran}");
}

#[test]
fn boot_loader_entries_have_the_arguments_of_their_release() {
    let fleet = Fleet::new();
    fleet
        .machine
        .write("entries/port-A.conf", "version 1\nlinux /A/vmlinuz\noptions root=/dev/vda2 port.slot=A\n");
    fleet.configure("pubkey = release.pub\nboot_loader = bls\nboot_loader_path = entries\n");
    release(&fleet, "v0.1.0", 1, b"a small root", ARGUMENTS);
    let slot = ["--running-slot", "A"];
    expect(&fleet.verb("apply", &[&["--plain-http"][..], &slot].concat()), 0);
    expect(&fleet.verb("activate", &slot), 0);
    let entry = String::from_utf8(fleet.machine.read("entries/port-B+3.conf")).unwrap();
    assert!(entry.contains("\noptions root=PARTLABEL=OSB ro quiet port.slot=B\n"), "{entry}");
}
