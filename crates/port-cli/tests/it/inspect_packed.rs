//! What a user sees of packed images: `inspect`, the reports of push and pull, progress for machines.

use port_testkit::project::{Project, Ran};
use port_testkit::registry::Registry;
use serde_json::Value;

use crate::fixture::*;
use crate::registry::noise;

const IMAGE: &str = "g/rootfs.ext4";
const MIB: usize = 1 << 20;

/// A guest image in this registry, in this version.
fn configuration(registry: &Registry, version: &str) -> String {
    let backend = r#"{ backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" } }"#;
    let host = registry.host();
    format!(
        r#"
[artifacts.guest_images.root]
reference = {{ registry = "{host}", repository = "port/root", version = "{version}" }}
variants = [{{ path = "{IMAGE}", selector = {{ architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }} }}]
distribution = {{ push = {backend}, pull = {backend} }}
"#
    )
}

/// An image of 4 MiB: noise, a hole, the first part again; `version` changes a little in each of 16 blocks.
fn image(version: u8) -> Vec<u8> {
    let mut bytes = noise(2 * MIB);
    bytes[MIB..MIB + (64 << 10)].iter_mut().step_by(64).for_each(|byte| *byte ^= version);
    bytes.resize(3 * MIB, 0);
    bytes.extend(noise(2 * MIB).into_iter().take(MIB / 2));
    bytes.resize(4 * MIB, 0);
    bytes
}

/// A project at `version`, whose image is that version's.
fn at(project: &Project, registry: &Registry, version: u8) {
    project.write("port.toml", configuration(registry, &format!("v{version}")));
    project.write(IMAGE, image(version));
}

/// Versions 1 and 2, published from one project, which is at 2.
fn published(registry: &Registry) -> Project {
    let project = with_configuration(&configuration(registry, "v1"));
    for version in [1, 2] {
        at(&project, registry, version);
        succeed(&project, "push", "root");
    }
    project
}

fn run(project: &Project, verb: &str, more: &[&str]) -> Ran {
    let ran = project.port(&[&["artifacts", verb, "--artifact", "root"][..], &X86, more].concat());
    assert_eq!(ran.code, 0, "{verb}\n{ran}");
    ran
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

fn events(ran: &Ran) -> Vec<Value> {
    ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn without_address(ran: &Ran, registry: &Registry) -> String {
    ran.to_string().replace(registry.host(), "[REGISTRY]")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn inspect_shows_packs_and_who_shares_them() {
    let registry = crate::copy::registry(true);
    let project = published(&registry);
    insta::assert_snapshot!("inspect_packed", without_address(&run(&project, "inspect", &[]), &registry));
    // The same from the store, once the file is gone; of another file nothing is said.
    let local = json(&run(&project, "inspect", &["--format", "json"]));
    project.write(IMAGE, b"changed");
    assert_eq!(json(&run(&project, "inspect", &["--format", "json"]))["published"], serde_json::json!([]));
    std::fs::remove_file(project.path().join(IMAGE)).unwrap();
    let stored = json(&run(&project, "inspect", &["--format", "json"]));
    assert_eq!(stored["origin"], "the store");
    assert_eq!(local["published"], stored["published"]);
}

#[test]
fn inspect_remote_shows_deltas_and_fetches_nothing_into_the_store() {
    let registry = crate::copy::registry(true);
    let publisher = published(&registry);
    let ran = run(&publisher, "inspect", &["--remote"]);
    insta::assert_snapshot!("inspect_packed_remote", without_address(&ran, &registry));
    let stranger = with_configuration(&configuration(&registry, "v2"));
    let report = json(&run(&stranger, "inspect", &["--remote", "--format", "json"]));
    let packed = &report["published"][0]["packed"];
    assert_eq!((&packed["shared"], packed["packs"].as_array().unwrap().len()), (&serde_json::json!([]), 2));
    let deltas = packed["deltas"].as_array().unwrap();
    assert_eq!((deltas.len(), &deltas[0]["versions"]), (1, &serde_json::json!([])), "{report}");
    assert!(number(&deltas[0]["bytes"]) < 80 << 10, "{report}");
    let sum: u64 = packed["packs"].as_array().unwrap().iter().map(|pack| number(&pack["bytes"])).sum();
    assert_eq!(sum, number(&packed["pack_bytes"]));
    assert_eq!(sum + number(&packed["map_bytes"]), number(&report["published"][0]["bytes"]));
    assert!(!stranger.exists(".port/store/blobs"), "inspect --remote stored something");
    // Version 1 has no deltas, and that is said.
    let first = with_configuration(&configuration(&registry, "v1"));
    assert!(run(&first, "inspect", &["--remote"]).stdout.contains("\nno deltas\n"));
}

#[test]
fn a_map_that_cannot_be_read_is_said_and_the_rest_shown() {
    let registry = crate::copy::registry(true);
    let project = published(&registry);
    let report = json(&run(&project, "inspect", &["--format", "json"]));
    let map = report["published"][0]["packed"]["map"].as_str().unwrap().replace(':', "/");
    std::fs::remove_file(project.path().join(".port/store/blobs").join(map)).unwrap();
    let ran = run(&project, "inspect", &[]);
    assert!(ran.stderr.contains("note: the packs are not shown: "), "{ran}");
    assert!(ran.stdout.contains("rootfs.ext4 is published as packed: "), "{ran}");
}

#[test]
fn reports_of_push_and_pull_say_what_was_there() {
    let registry = crate::copy::registry(true);
    let (project, other) = (published(&registry), with_configuration(&configuration(&registry, "v1")));
    run(&other, "pull", &[]);
    other.write("port.toml", configuration(&registry, "v2"));
    let pulled = json(&run(&other, "pull", &["--format", "json"]));
    let again = json(&run(&project, "push", &["--format", "json"]));
    at(&project, &registry, 3);
    let pushed = json(&run(&project, "push", &["--format", "json"]));
    // 2.5 MiB of data, of which 64 KiB are another version's.
    let data = (2 * MIB + MIB / 2) as u64;
    for (report, found, moved) in [
        (&pulled, data - (64 << 10), 80 << 10),
        (&pushed, data - (64 << 10), 240 << 10),
        (&again, 4 << 20, 1),
    ] {
        let file = &report["files"][0];
        assert_eq!((&file["encoding"], &file["found_bytes"]), (&"packed".into(), &found.into()), "{report}");
        assert!(number(&file["published_bytes"]) > 2 << 20, "{report}");
        assert!(number(&report["moved_bytes"]) < moved, "{report}");
    }
    let text = run(&project, "push", &[]).stdout;
    assert!(text.contains(" bytes; 4194304 bytes of the file were published before\n"), "{text}");
    project.write("port.toml", configuration(&registry, "v1"));
    assert!(run(&project, "pull", &[]).stdout.contains(" bytes of the file were found here\n"));
}

#[test]
fn machines_read_what_is_wanted_found_and_fetched() {
    let registry = crate::copy::registry(true);
    let project = with_configuration(&configuration(&registry, "v1"));
    for (version, in_parent) in [(1, 0), (2, (2 * MIB + MIB / 2 - (64 << 10)) as u64)] {
        at(&project, &registry, version);
        let ran = run(&project, "push", &["--progress", "json", "--deltas", "0"]);
        let events = events(&ran);
        let packed = events.iter().find(|event| event["event"] == "packed").unwrap();
        assert_eq!(number(&packed["data"]), (2 * MIB + MIB / 2) as u64);
        assert_eq!(number(&packed["in_parent"]), in_parent);
        // The parent is looked through, too; as zeros, where the file system kept no holes.
        let task = packed["task"].as_str().unwrap();
        let total = number(&last_of(&events, task)["total"]);
        assert!(total >= (2 * MIB + MIB / 2) as u64 * u64::from(version), "{total}");
        finished(&events, task, total);
    }
    let other = with_configuration(&configuration(&registry, "v1"));
    for (version, found) in [(1, 0), (2, (2 * MIB + MIB / 2 - (64 << 10)) as u64)] {
        other.write("port.toml", configuration(&registry, &format!("v{version}")));
        let events = events(&run(&other, "pull", &["--progress", "json"]));
        let plan = events.iter().find(|event| event["event"] == "planned").unwrap();
        assert_eq!(number(&plan["wanted"]), (2 * MIB + MIB / 2) as u64);
        assert_eq!(number(&plan["found"]), found);
        let last = finished(&events, plan["task"].as_str().unwrap(), number(&plan["wanted"]));
        assert_eq!(last["fetched"], plan["fetch"], "{last}");
        let transfers = plan["transfers"].as_array().unwrap();
        let done = transfers.iter().map(|task| number(&last_of(&events, task.as_str().unwrap())["done"]));
        assert_eq!(done.sum::<u64>(), number(&plan["fetch"]), "{transfers:?}");
    }
}

fn last_of<'a>(events: &'a [Value], task: &str) -> &'a Value {
    events.iter().find(|event| event["event"] == "finished" && event["task"] == task).unwrap()
}

/// The end of a task that did so many bytes, as its steps say, too.
fn finished<'a>(events: &'a [Value], task: &str, bytes: u64) -> &'a Value {
    let steps = events.iter().filter(|event| event["event"] == "advanced" && event["task"] == task);
    assert_eq!(steps.map(|step| number(&step["bytes"])).sum::<u64>(), bytes, "{task}");
    let last = last_of(events, task);
    assert_eq!(number(&last["done"]), bytes, "{last}");
    last
}
