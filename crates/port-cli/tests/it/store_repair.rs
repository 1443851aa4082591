//! `port store verify` and `--repair`: what is damaged is found, and comes again from where it came from.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use port_content::hashing::digest_of;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply};
use serde_json::Value;

use crate::fixture::*;
use crate::registry::noise;

/// Where the image lies.
pub const IMAGE: &str = "g/rootfs.ext4";
/// Where the cache has it, below the cache and the registry's name.
const CACHED: &str = "port/root/v1/x86_64/firecracker/standard/rootfs.ext4";

/// A project with one guest image, published with this encoding in the registry at `host`.
pub fn project(host: &str, encoding: &str) -> Project {
    let backend = r#"backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" }"#;
    with_configuration(&format!(
        r#"
[artifacts.guest_images.root]
reference = {{ registry = "{host}", repository = "port/root", version = "v1" }}
variants = [{{ path = "{IMAGE}", selector = {{ architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }} }}]
distribution = {{ push = {{ {backend}, encoding = "{encoding}" }}, pull = {{ {backend} }} }}
"#
    ))
}

/// An image with a hole.
pub fn image() -> Vec<u8> {
    let mut bytes = noise(1 << 20);
    bytes.resize(3 << 20, 0);
    bytes.extend(noise(700_001));
    bytes
}

fn cached(project: &Project, host: &str) -> PathBuf {
    project.path().join(".port/cache").join(host).join(CACHED)
}

/// The blobs of the store, by digest.
pub fn blobs(project: &Project) -> Vec<PathBuf> {
    let directory = std::fs::read_dir(project.path().join(".port/store/blobs/sha256")).unwrap();
    let mut blobs: Vec<_> = directory.map(|entry| entry.unwrap().path()).collect();
    blobs.sort();
    blobs
}

fn blob_of(project: &Project, bytes: &[u8]) -> PathBuf {
    project.path().join(".port/store/blobs/sha256").join(digest_of(bytes).hex())
}

/// Writes one byte into the middle of a file, where it lies.
fn flip(path: &Path) {
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    let set = |mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o644);
    let middle = std::fs::read(path).unwrap().len() / 2;
    let byte = std::fs::read(path).unwrap()[middle];
    let mut file = std::fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(middle as u64)).unwrap();
    file.write_all(&[byte ^ 1]).unwrap();
    set(mode);
}

/// Changes the files as a failing disk does: afterwards every record still describes what lies there.
fn rot(project: &Project, paths: &[&Path]) {
    for path in paths {
        flip(path);
    }
    for place in std::fs::read_dir(project.path().join(".port/store/files")).unwrap() {
        let place = place.unwrap().path();
        let mut record: Value = serde_json::from_slice(&std::fs::read(&place).unwrap()).unwrap();
        let Ok(metadata) = std::fs::metadata(record["path"].as_str().unwrap()) else { continue };
        if record["inode"] != metadata.ino() {
            continue;
        }
        let nanoseconds = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
        record["modified"] = nanoseconds(metadata.mtime(), metadata.mtime_nsec()).into();
        record["changed"] = nanoseconds(metadata.ctime(), metadata.ctime_nsec()).into();
        record["began"] = nanoseconds(metadata.ctime() + 1, 0).into();
        std::fs::write(&place, record.to_string()).unwrap();
    }
}

/// `port store verify --repair`, and a look whether it said the truth.
fn repair(project: &Project) -> Value {
    let ran = project.port(&["--format", "json", "store", "verify", "--repair"]);
    assert_eq!(ran.code, 0, "{ran}");
    let again = project.port(&["store", "verify"]);
    assert_eq!(again.code, 0, "{ran}{again}");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn count(report: &Value, key: &str) -> usize {
    report[key].as_array().unwrap_or_else(|| panic!("{key}: {report}")).len()
}

fn pushed(host: &str, encoding: &str) -> Project {
    let project = project(host, encoding);
    project.write(IMAGE, image());
    succeed(&project, "push", "root");
    project
}

/// Without copies of the file outside the store.
fn without_copies(project: &Project) {
    let _ = std::fs::remove_file(project.path().join(IMAGE));
    let _ = std::fs::remove_dir_all(project.path().join(".port/cache"));
}

#[test]
fn every_blob_of_every_encoding_is_repaired() {
    for (encoding, expected) in [("raw", 3), ("zstd", 4), ("packed", 5)] {
        let registry = Registry::start();
        let project = pushed(registry.host(), encoding);
        without_copies(&project);
        let all = blobs(&project);
        assert_eq!(all.len(), expected, "{encoding}");
        for blob in &all {
            let content = std::fs::read(blob).unwrap();
            rot(&project, &[blob]);
            let ran = project.port(&["store", "verify"]);
            assert_eq!(ran.code, 1, "{encoding} {}\n{ran}", blob.display());
            let report = repair(&project);
            assert_eq!(
                (count(&report, "damaged"), count(&report, "repaired")),
                (1, 1),
                "{encoding}\n{report}"
            );
            assert!(std::fs::read(blob).unwrap() == content, "{encoding}: {}", blob.display());
        }
        // Nothing but the name is left.
        for blob in &all {
            std::fs::remove_file(blob).unwrap();
        }
        let report = repair(&project);
        assert!(report["moved_bytes"].as_u64().unwrap() > 0, "{report}");
        succeed(&project, "pull", "root");
        assert!(project.read(IMAGE) == image(), "{encoding}");
    }
}

#[test]
fn a_file_is_made_of_its_packs_without_any_network() {
    for encoding in ["zstd", "packed"] {
        let registry = Registry::start();
        let project = pushed(registry.host(), encoding);
        without_copies(&project);
        let asked = registry.requests().len();
        rot(&project, &[&blob_of(&project, &image())]);
        let report = repair(&project);
        assert_eq!(registry.requests().len(), asked, "{encoding}: the registry was asked");
        assert_eq!(
            (count(&report, "repaired"), &report["moved_bytes"]),
            (1, &0.into()),
            "{encoding} {report}"
        );
    }
}

#[test]
fn cache_and_local_files_that_hold_the_damage_are_replaced_and_those_of_the_user_are_not() {
    let registry = Registry::start();
    let project = pushed(registry.host(), "raw");
    let (cache, local) = (cached(&project, registry.host()), project.path().join(IMAGE));
    let blob = blob_of(&project, &image());
    if std::fs::metadata(&cache).unwrap().ino() == std::fs::metadata(&blob).unwrap().ino() {
        rot(&project, &[&blob, &local]);
    } else {
        rot(&project, &[&blob, &cache, &local]);
    }
    assert_eq!(project.port(&["store", "verify"]).code, 1, "a look before the repair changes nothing of it");
    let report = repair(&project);
    assert_eq!((count(&report, "repaired"), count(&report, "replaced")), (1, 2), "{report}");
    for path in [&blob, &cache, &local] {
        assert!(std::fs::read(path).unwrap() == image(), "{}", path.display());
    }
    // A local file that somebody wrote to is theirs; the cache is not for writing.
    std::fs::write(&local, b"mine").unwrap();
    flip(&cache);
    let report = repair(&project);
    assert_eq!(project.read(IMAGE), b"mine", "{report}");
    succeed(&project, "pull", "root");
    assert!(std::fs::read(&cache).unwrap() == image());
}

#[test]
fn a_repair_after_one_that_failed_replaces_what_the_cache_still_holds() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let hook = Box::new(move |request: &port_testkit::registry::Request| {
        let blob = request.method == "GET" && request.target.contains("/blobs/");
        let gone = blob && is_down.load(Ordering::SeqCst);
        if gone { Action::Answer(Reply::new(404, b"{}")) } else { Action::Pass }
    });
    let registry = Registry::with(Abilities::default(), hook);
    let project = pushed(registry.host(), "raw");
    let (cache, blob) = (cached(&project, registry.host()), blob_of(&project, &image()));
    std::fs::remove_file(project.path().join(IMAGE)).unwrap();
    if std::fs::metadata(&cache).unwrap().ino() != std::fs::metadata(&blob).unwrap().ino() {
        flip(&cache);
    }
    flip(&blob);
    assert_eq!(project.port(&["store", "verify", "--repair"]).code, 1);
    let _ = std::fs::remove_file(&blob);
    assert_eq!(project.port(&["store", "verify", "--repair"]).code, 1, "and again");
    down.store(false, Ordering::SeqCst);
    let report = repair(&project);
    assert_eq!((count(&report, "repaired"), count(&report, "replaced")), (1, 1), "{report}");
    assert!(std::fs::read(&cache).unwrap() == image());
}

#[test]
fn a_sound_local_file_is_taken_before_the_registry_is_asked() {
    let registry = Registry::start();
    let project = pushed(registry.host(), "raw");
    let asked = registry.requests().len();
    std::fs::remove_file(blob_of(&project, &image())).unwrap();
    let report = repair(&project);
    assert_eq!(registry.requests().len(), asked, "the registry was asked");
    assert_eq!((count(&report, "repaired"), &report["moved_bytes"]), (1, &0.into()), "{report}");
}

#[test]
fn what_cannot_be_repaired_is_listed_with_the_reason() {
    let hook = Box::new(|request: &port_testkit::registry::Request| {
        let gone = request.method == "GET" && request.target.contains("/blobs/");
        if gone { Action::Answer(Reply::new(404, b"{}")) } else { Action::Pass }
    });
    let registry = Registry::with(Abilities::default(), hook);
    let project = pushed(registry.host(), "raw");
    without_copies(&project);
    let blob = blob_of(&project, &image());
    flip(&blob);
    let hide = |ran: Ran| Ran {
        stdout: ran.stdout.replace(registry.host(), "[REGISTRY]"),
        stderr: ran.stderr.replace(registry.host(), "[REGISTRY]"),
        ..ran
    };
    insta::assert_snapshot!("repair_gone", hide(project.port(&["-q", "store", "verify", "--repair"])));
    let ran = project.port(&["--format", "json", "store", "verify", "--repair"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, count(&report, "unrepaired")), (1, 1), "{ran}");
    assert!(succeed_not(&project), "nobody is given the damaged bytes");

    // Published in a directory, and pulled from where nobody listens.
    let project = self::project("127.0.0.1:1", "raw");
    let text = String::from_utf8(project.read("port.toml")).unwrap();
    let (before, push) = text.split_once("push = {").unwrap();
    let pull = push.split_once("pull = {").unwrap().1;
    let push = r#"push = { backend = "file-system", root = "shop" }, pull = {"#;
    project.write("port.toml", format!("{before}{push}{pull}"));
    project.write(IMAGE, image());
    succeed(&project, "push", "root");
    without_copies(&project);
    flip(&blob_of(&project, &image()));
    let ran = project.port(&["store", "verify", "--repair"]);
    assert_eq!(ran.code, 4, "{ran}");
    assert!(ran.stdout.contains("not repaired: "), "{ran}");
}

fn succeed_not(project: &Project) -> bool {
    artifacts(project, "pull", "root").code != 0 && !project.exists(IMAGE)
}

#[test]
fn a_directory_of_published_files_repairs_as_long_as_it_holds_the_version() {
    let project = crate::fixture::project();
    project.write(LOCAL_KERNEL, noise(2 << 20));
    succeed(&project, "push", "tiny");
    std::fs::remove_file(project.path().join(LOCAL_KERNEL)).unwrap();
    std::fs::remove_dir_all(project.path().join(".port/cache")).unwrap();
    for blob in blobs(&project) {
        flip(&blob);
        let report = repair(&project);
        assert_eq!(count(&report, "repaired"), 1, "{report}");
    }
    let other = crate::fixture::project();
    other.write(LOCAL_KERNEL, b"another");
    succeed(&other, "push", "tiny");
    std::fs::remove_dir_all(project.path().join("shop")).unwrap();
    std::fs::rename(other.path().join("shop"), project.path().join("shop")).unwrap();
    flip(&blob_of(&project, &noise(2 << 20)));
    let ran = project.port(&["store", "verify", "--repair"]);
    assert!(ran.code == 1 && ran.stdout.contains("does not hold sha256:"), "{ran}");
}

#[test]
fn damage_that_nothing_needs_goes() {
    let project = crate::fixture::project();
    for content in [noise(5000), noise(6000)] {
        project.write(LOCAL_KERNEL, content);
        succeed(&project, "push", "tiny");
    }
    flip(&blob_of(&project, &noise(5000)));
    let report = repair(&project);
    assert_eq!((count(&report, "removed"), count(&report, "repaired")), (1, 0), "{report}");
}

#[test]
fn an_attachment_is_fetched_from_where_its_subject_came_from() {
    let registry = crate::copy::registry(true);
    crate::copy::publish(&registry, "team/app");
    let project = project(registry.host(), "raw");
    let from = format!("{}/team/app:v1", registry.host());
    // The name says where it came from; `port.toml` does not say how that is reached, so it is https.
    crate::copy::copied(&project, &from, &format!("oci:.port/store:{from}"), &[]);
    flip(&blobs(&project)[0]);
    let ran = project.port(&["store", "verify", "--repair"]);
    assert!(ran.code != 0 && ran.stdout.contains("not repaired: "), "{ran}");
    flip(&blobs(&project)[0]);
    // Now it does.
    let text = String::from_utf8(project.read("port.toml")).unwrap();
    project.write("port.toml", text.replace("port/root", "team/app"));
    let mut own = 0;
    for blob in blobs(&project) {
        let content = std::fs::read(&blob).unwrap();
        flip(&blob);
        let ran = project.port(&["store", "verify", "--repair"]);
        if ran.code != 0 {
            // The list of referrers that a copy writes into a layout is its own: no registry has it.
            assert!(String::from_utf8(content.clone()).unwrap().contains("manifests"), "{ran}");
            assert!(ran.stdout.contains("needed by sha256-"), "{ran}");
            own += 1;
            let _ = std::fs::remove_file(&blob);
            std::fs::write(&blob, &content).unwrap();
        }
        assert!(std::fs::read(&blob).unwrap() == content, "{ran}");
    }
    assert_eq!(own, 2, "one list for the signed manifest, one for the signature");
}

#[test]
fn verification_tells_how_far_it_is() {
    let project = crate::fixture::project();
    project.write(LOCAL_KERNEL, noise(1 << 20));
    succeed(&project, "push", "tiny");
    let ran = project.port(&["--progress", "json", "store", "verify"]);
    let events: Vec<Value> = ran.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    let total = of("started")[0]["total"].as_u64().unwrap();
    let done: u64 = of("advanced").iter().map(|event| event["bytes"].as_u64().unwrap()).sum();
    assert!(ran.code == 0 && total > 1 << 20 && done == total && of("finished").len() == 1, "{ran}");
}
