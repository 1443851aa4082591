//! Packed images as a user pushes and pulls them: what comes back, what moves, how versions and encodings follow each
//! other. What tests in the other files share is here too.

use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use port_content::hashing::digest_of;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};
use serde_json::Value;

use crate::copy::copied;
use crate::fixture::*;
use crate::registry::noise;

pub const BLOCK: usize = 4096;
pub const KIB: usize = 1024;
/// Where the image lies.
pub const IMAGE: &str = "g/x86_64/standard/rootfs.ext4";
/// The repository of every test here.
pub const REPOSITORY: &str = "port/root";
/// What documents, maps and heads may take beside what a test counts.
pub const TALK: u64 = 64 * 1024;
/// What a change of one version costs at most: 48 blocks of noise, and what lies between them in a pack.
pub const CHANGED: u64 = 400 * 1024;

/// `port.toml` for one version of the guest image; `push` is what else its push table says.
pub fn configuration(host: &str, version: &str, push: &str) -> String {
    let backend = r#"backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" }"#;
    format!(
        r#"
[artifacts.guest_images.root]
reference = {{ registry = "{host}", repository = "{REPOSITORY}", version = "{version}" }}
variants = [{{ path = "{IMAGE}", selector = {{ architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }} }}]
distribution = {{ push = {{ {backend}{push} }}, pull = {{ {backend} }} }}
"#
    )
}

/// A project with version `v1`.
pub fn project(host: &str) -> Project {
    with_configuration(&configuration(host, "v1", ""))
}

/// The published tag of a version.
pub fn tag(version: &str) -> String {
    format!("{version}-x86_64-firecracker-standard")
}

/// The image of a version: an odd length, noise, text, a hole in the middle, the same bytes twice. From one version to
/// the next one byte changes in each of 48 blocks, two blocks of the hole are filled, and one block becomes zeros.
pub fn image(version: usize) -> Vec<u8> {
    let mut bytes = noise(1024 * KIB);
    bytes.resize(1536 * KIB, 0);
    bytes.extend(noise(1300 * KIB + 1));
    bytes.resize(2840 * KIB, 0);
    bytes.extend("Port ships what changed, and nothing else. ".repeat(12 * KIB).as_bytes());
    bytes.extend_from_within(..200 * KIB);
    bytes.extend(noise(1234));
    for step in 1..version {
        for change in 0..48 {
            bytes[(change * 5 + step) * BLOCK + 77] ^= 1 << (step % 8);
        }
        let filled = (1024 + 16 * step) * KIB;
        bytes[filled..filled + 2 * BLOCK].copy_from_slice(&noise(2 * BLOCK + step)[..2 * BLOCK]);
        let zeroed = (1600 + 8 * step) * KIB;
        bytes[zeroed..zeroed + BLOCK].fill(0);
    }
    bytes
}

fn is_zero(block: &[u8]) -> bool {
    block == &[0; BLOCK][..block.len()]
}

/// Writes an image with holes where it has blocks of zeros, as a new file.
pub fn place(project: &Project, content: &[u8]) -> PathBuf {
    let path = project.write("g/new", b"");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(content.len() as u64).unwrap();
    for (number, block) in content.chunks(BLOCK).enumerate() {
        if !is_zero(block) {
            file.write_all_at(block, (number * BLOCK) as u64).unwrap();
        }
    }
    let target = project.path().join(IMAGE);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::rename(path, &target).unwrap();
    target
}

/// Runs a test for each case, all at the same time: most of what they take is waiting for disks.
pub fn each<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || test(case));
        }
    });
}

/// Turns the project to another version.
pub fn turn(project: &Project, host: &str, version: &str, push: &str) {
    project.write("port.toml", configuration(host, version, push));
}

/// Runs a verb for the image.
pub fn run(project: &Project, verb: &str, more: &[&str]) -> Ran {
    project.port(&[&["artifacts", verb, "--artifact", "root"][..], &X86, more].concat())
}

/// The same, which must succeed; gives the report.
pub fn report(project: &Project, verb: &str, more: &[&str]) -> (Value, Ran) {
    let ran = run(project, verb, &[&["--format", "json"][..], more].concat());
    assert_eq!(ran.code, 0, "{verb}\n{ran}");
    (serde_json::from_str(&ran.stdout).unwrap(), ran)
}

/// The bytes that a verb says it moved.
pub fn moved(project: &Project, verb: &str, more: &[&str]) -> u64 {
    report(project, verb, more).0["moved_bytes"].as_u64().unwrap()
}

/// Pushes an image as a version.
pub fn push(project: &Project, host: &str, version: usize, more: &[&str]) -> u64 {
    turn(project, host, &format!("v{version}"), "");
    place(project, &image(version));
    moved(project, "push", more)
}

/// Pulls a version.
pub fn pull(project: &Project, host: &str, version: usize) -> u64 {
    turn(project, host, &format!("v{version}"), "");
    let moved = moved(project, "pull", &[]);
    assert_same(project, &image(version));
    moved
}

/// What lies at the local path has these bytes, and holes where they are zero.
pub fn assert_same(project: &Project, content: &[u8]) {
    let found = project.read(IMAGE);
    assert_eq!(found.len(), content.len());
    let differs = found.chunks(BLOCK).zip(content.chunks(BLOCK)).position(|(a, b)| a != b);
    assert_eq!(differs, None, "the first block that differs");
    let data = content.chunks(BLOCK).filter(|block| !is_zero(block)).count();
    let taken = std::fs::metadata(project.path().join(IMAGE)).unwrap().blocks() * 512;
    let most = (data * BLOCK + 64 * KIB) as u64;
    assert!(taken <= most, "{taken} bytes on disk for {} bytes of data", data * BLOCK);
}

/// The store is whole before and after its garbage is collected.
pub fn assert_sound(project: &Project) {
    for verb in ["verify", "gc", "verify"] {
        let ran = project.port(&["store", verb]);
        assert_eq!(ran.code, 0, "store {verb}\n{ran}");
    }
}

/// The published manifest of a version.
pub fn manifest(registry: &Registry, version: &str) -> Value {
    serde_json::from_slice(&registry.manifest(REPOSITORY, &tag(version)).unwrap()).unwrap()
}

/// The digests of a version's layers of one type, `map`, `pack` or `delta`.
pub fn layers(manifest: &Value, word: &str) -> Vec<String> {
    let layers = manifest["layers"].as_array().unwrap().iter();
    let fits = layers.filter(|layer| layer["mediaType"] == format!("application/vnd.port.packed.{word}.v1"));
    fits.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

/// What refers to a version, as `port artifacts referrers` says.
pub fn deltas(project: &Project) -> Vec<Value> {
    let kind = "application/vnd.port.packed.delta.v1";
    let (report, _) = report(project, "referrers", &["--artifact-type", kind]);
    report["referrers"].as_array().unwrap().clone()
}

/// Replaces what differs from run to run, or with the version of zstd.
pub fn plain(registry: &Registry, mut ran: Ran) -> Ran {
    let text = ran.stderr.replace(registry.host(), "[REGISTRY]");
    let text = without(&text, "sha256:", "[DIGEST]", |letter| letter.is_ascii_hexdigit());
    ran.stderr = without(&text, " after ", "[COUNT]", |letter| letter.is_ascii_digit());
    ran
}

/// Replaces what follows a word.
fn without(text: &str, word: &str, name: &str, kind: fn(char) -> bool) -> String {
    let mut parts = text.split(word);
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        plain += &[word, name, part.trim_start_matches(kind)].concat();
    }
    plain
}

/// A registry with these abilities.
pub fn able(abilities: Abilities) -> Registry {
    Registry::with(abilities, Box::new(|_| Action::Pass))
}

#[test]
fn a_round_trip_gives_the_same_sparse_file() {
    let registry = Registry::start();
    let (publisher, reader) = (project(registry.host()), project(registry.host()));
    let pushed = push(&publisher, registry.host(), 1, &[]);
    let data = 2_500_000;
    assert!((2_000_000..data).contains(&pushed), "{pushed}");
    let published = manifest(&registry, "v1");
    assert_eq!((layers(&published, "map").len(), layers(&published, "pack").len()), (1, 1), "{published}");
    let pulled = pull(&reader, registry.host(), 1);
    assert!((2_000_000..data).contains(&pulled), "{pulled}");
    assert_eq!(pull(&reader, registry.host(), 1), 0, "all of it is here");
    for project in [&publisher, &reader] {
        assert_sound(project);
    }
    assert_eq!(pull(&reader, registry.host(), 1), 0, "garbage collection took something of it");
}

#[test]
fn every_length_comes_back() {
    let lengths = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 256 * KIB, 4096 * KIB + 5];
    let zeros = [1, 4096 * KIB + 5].map(|length| vec![0; length]);
    each(lengths.map(noise).into_iter().chain(zeros), |content| {
        let registry = Registry::start();
        let (publisher, reader) = (project(registry.host()), project(registry.host()));
        place(&publisher, &content);
        report(&publisher, "push", &[]);
        report(&reader, "pull", &[]);
        assert_same(&reader, &content);
    });
}

#[test]
fn an_update_moves_only_what_changed() {
    let registry = Registry::start();
    let (publisher, reader) = (project(registry.host()), project(registry.host()));
    push(&publisher, registry.host(), 1, &[]);
    pull(&reader, registry.host(), 1);
    let (up, down) = registry.traffic();
    for version in 2..5 {
        let pushed = push(&publisher, registry.host(), version, &["--deltas", "0"]);
        assert!((200_000..CHANGED).contains(&pushed), "v{version}: {pushed} bytes pushed");
        let pulled = pull(&reader, registry.host(), version);
        assert!((100_000..CHANGED).contains(&pulled), "v{version}: {pulled} bytes pulled");
    }
    let (up, down) = (registry.traffic().0 - up, registry.traffic().1 - down);
    assert!(up < 3 * (CHANGED + TALK) && down < 3 * (CHANGED + TALK), "{up} up, {down} down");
    // A way back, and a stranger.
    assert_eq!(pull(&reader, registry.host(), 2), 0);
    let stranger = project(registry.host());
    assert!(pull(&stranger, registry.host(), 4) > 2_000_000);
    for project in [&publisher, &reader, &stranger] {
        assert_sound(project);
    }
    assert_eq!(pull(&reader, registry.host(), 3), 0);
}

#[test]
fn the_same_content_again_moves_and_compresses_nothing() {
    let registry = Registry::start();
    let publisher = project(registry.host());
    push(&publisher, registry.host(), 1, &[]);
    push(&publisher, registry.host(), 2, &[]);
    let stranger = project(registry.host());
    turn(&stranger, registry.host(), "v2", "");
    for (who, again) in [("the publisher", &publisher), ("another", &stranger)] {
        let before = manifest(&registry, "v2");
        let (up, down) = registry.traffic();
        let count = registry.requests().len();
        place(again, &image(2));
        let (said, ran) = report(again, "push", &[]);
        assert_eq!(said["moved_bytes"], 0, "{who}: {ran}");
        assert!(!ran.stderr.contains("packed to"), "{who} packs\n{ran}");
        assert!(!ran.stderr.contains("delta from"), "{who} makes deltas\n{ran}");
        let (now_up, now_down) = registry.traffic();
        assert!(now_up - up < TALK && now_down - down < TALK, "{who}: {} {}", now_up - up, now_down - down);
        let requests = registry.requests().split_off(count);
        // Whether one may push is asked by beginning an upload.
        let uploads = requests.iter().filter(|request| {
            ["PATCH", "PUT"].contains(&&*request.method) && request.target.contains("/uploads/")
        });
        assert_eq!(uploads.count(), 0, "{who}");
        assert_eq!(manifest(&registry, "v2"), before);
        assert_sound(again);
    }
}

#[test]
fn every_encoding_gives_the_same_raw_file_and_one_may_follow_another() {
    let registry = Registry::start();
    let (publisher, reader) = (project(registry.host()), project(registry.host()));
    let encodings = ["packed", "raw", "packed", "zstd", "packed"];
    for (version, encoding) in (1..).zip(encodings) {
        let name = format!("v{version}");
        turn(&publisher, registry.host(), &name, &format!(r#", encoding = "{encoding}""#));
        let content = image(version);
        place(&publisher, &content);
        let (said, _) = report(&publisher, "push", &[]);
        let digest = digest_of(&content).to_string();
        assert_eq!(said["files"][0]["digest"], *digest, "{encoding}");
        let layers = manifest(&registry, &name)["layers"].clone();
        let kind = layers[0]["mediaType"].as_str().unwrap();
        assert_eq!(kind.ends_with("+zstd"), encoding == "zstd", "{layers}");
        assert_eq!(kind.contains("packed.map"), encoding == "packed", "{layers}");
        assert_eq!(layers[0]["digest"] == *digest, encoding == "raw", "{layers}");
        turn(&reader, registry.host(), &name, "");
        report(&reader, "pull", &[]);
        // What came as it is came with its zeros.
        if encoding == "raw" {
            assert!(reader.read(IMAGE) == content)
        } else {
            assert_same(&reader, &content)
        }
    }
    // The same content in another encoding is another version of the documents, and still the same file.
    for (encoding, from) in [("zstd", "packed"), ("raw", "zstd"), ("packed", "raw")] {
        turn(&publisher, registry.host(), "v5", &format!(r#", encoding = "{encoding}""#));
        place(&publisher, &image(5));
        report(&publisher, "push", &["--overwrite"]);
        assert_eq!(moved(&reader, "pull", &[]), 0, "{from} to {encoding}: the file is here");
        let stranger = project(registry.host());
        turn(&stranger, registry.host(), "v5", "");
        report(&stranger, "pull", &[]);
        assert!(stranger.read(IMAGE) == image(5), "{from} to {encoding}");
    }
    for project in [&publisher, &reader] {
        assert_sound(project);
    }
}

#[test]
fn kernels_are_raw_unless_asked_otherwise() {
    let registry = Registry::start();
    for (encoding, kind) in
        [("", "raw"), (r#", encoding = "packed""#, "packed"), (r#", encoding = "zstd""#, "zstd")]
    {
        let text = crate::registry::configuration(registry.host(), kind, crate::registry::ANONYMOUS);
        let project =
            with_configuration(&text.replacen(r#"anonymous" }"#, &format!(r#"anonymous" }}{encoding}"#), 1));
        let kernel = noise(300 * KIB);
        project.write(LOCAL_KERNEL, &kernel);
        succeed(&project, "push", "tiny");
        let manifest = registry.manifest(kind, &tag("v1")).unwrap();
        let manifest = String::from_utf8(manifest).unwrap();
        assert_eq!(manifest.contains("packed.map"), kind == "packed", "{manifest}");
        assert_eq!(manifest.contains(&digest_of(&kernel).to_string()), kind == "raw", "{manifest}");
        crate::registry::forget(&project);
        succeed(&project, "pull", "tiny");
        assert!(project.read(LOCAL_KERNEL) == kernel, "{kind}");
        assert_sound(&project);
    }
}

#[test]
fn deltas_are_referrers_and_cost_less_than_packs() {
    each([true, false], |referrers| {
        let registry = able(Abilities { referrers, ..Abilities::default() });
        let host = registry.host();
        let (publisher, reader) = (project(host), project(host));
        for version in 1..4 {
            push(&publisher, host, version, &["--deltas", "0"]);
            assert!(deltas(&publisher).is_empty(), "v{version}");
        }
        pull(&reader, host, 1);
        // From the two nearest earlier versions, not from the third.
        push(&publisher, host, 4, &["--deltas", "2"]);
        let found = deltas(&publisher);
        assert_eq!(found.len(), 2, "{found:?}");
        let parents: Vec<_> =
            found.iter().map(|entry| entry["annotations"]["vnd.port.delta.parent"].to_string()).collect();
        for version in [2, 3] {
            let digest = digest_of(&image(version)).to_string();
            assert!(parents.iter().any(|parent| parent.contains(&digest)), "v{version}: {found:?}");
        }
        // Whoever has another version only takes packs.
        let packs = pull(&reader, host, 4);
        assert!(packs > 150_000, "{packs}");
        let reader = project(host);
        pull(&reader, host, 3);
        let down = registry.traffic().1;
        let delta = pull(&reader, host, 4);
        assert!(delta < 60_000, "{delta} by delta, {packs} by packs");
        assert!(registry.traffic().1 - down < 60_000 + TALK, "{}", registry.traffic().1 - down);
        // Published again, there is one of each.
        assert_eq!(moved(&publisher, "push", &["--deltas", "2"]), 0);
        turn(&publisher, host, "v4", "");
        assert_eq!(deltas(&publisher).len(), 2);
        for project in [&publisher, &reader] {
            assert_sound(project);
        }
    });
}

#[test]
fn a_copy_is_pulled_from_its_new_place() {
    let (one, two) = (Registry::start(), Registry::start());
    let (publisher, reader) = (project(one.host()), project(two.host()));
    for version in 1..3 {
        push(&publisher, one.host(), version, &[]);
    }
    let place = |registry: &Registry, version: &str| format!("{}/{REPOSITORY}:{version}", registry.host());
    copied(&publisher, &place(&one, "v1"), &place(&two, "v1"), &["--all-variants"]);
    pull(&reader, two.host(), 1);
    // By way of a layout, with its deltas.
    copied(&publisher, &place(&one, "v2"), "oci:out:v2", &[]);
    let up = two.traffic().0;
    copied(&publisher, "oci:out:v2", &place(&two, "v2"), &[]);
    let up = two.traffic().0 - up;
    assert!(up < CHANGED + TALK, "the packs of v1 were there: {up} bytes");
    let by_delta = pull(&reader, two.host(), 2);
    assert!(by_delta < 60_000, "{by_delta}");
    // Into a store, and from a store.
    let name = format!("{}/{REPOSITORY}:{}", one.host(), tag("v2"));
    let three = Registry::start();
    copied(&publisher, &format!("oci:.port/store:{name}"), &place(&three, &tag("v2")), &[]);
    pull(&project(three.host()), three.host(), 2);
    for project in [&publisher, &reader] {
        assert_sound(project);
    }
}

#[test]
fn a_conflict_moves_nothing() {
    let registry = Registry::start();
    let (publisher, other) = (project(registry.host()), project(registry.host()));
    push(&publisher, registry.host(), 1, &[]);
    let (before, up) = (manifest(&registry, "v1"), registry.traffic().0);
    for project in [&publisher, &other] {
        place(project, &image(2));
        let ran = run(project, "push", &[]);
        assert_eq!(ran.code, 1, "{ran}");
        assert!(ran.stderr.contains("--overwrite"), "{ran}");
        assert!(!ran.stderr.contains("packed to"), "it packs\n{ran}");
    }
    assert_eq!((manifest(&registry, "v1"), registry.traffic().0), (before, up));
    report(&other, "push", &["--overwrite"]);
    turn(&publisher, registry.host(), "v1", "");
    report(&publisher, "pull", &[]);
    assert_same(&publisher, &image(2));
}

#[test]
fn what_lies_here_is_used_wherever_it_is() {
    let registry = Registry::start();
    let host = registry.host();
    let publisher = project(host);
    push(&publisher, host, 1, &[]);
    push(&publisher, host, 2, &[]);
    let blob = |version| digest_of(&image(version)).hex().to_owned();
    let reader = || {
        let reader = project(host);
        pull(&reader, host, 1);
        reader
    };
    // The store has lost the file, the local path has it.
    let here = reader();
    std::fs::remove_file(here.path().join(format!(".port/store/blobs/sha256/{}", blob(1)))).unwrap();
    let few = pull(&here, host, 2);
    assert!(few < CHANGED, "{few}");
    // The local path has lost it, the store has it.
    let here = reader();
    std::fs::remove_file(here.path().join(IMAGE)).unwrap();
    assert!(pull(&here, host, 2) < CHANGED);
    // The store is gone altogether.
    let here = reader();
    std::fs::remove_dir_all(here.path().join(".port")).unwrap();
    assert!(pull(&here, host, 2) < CHANGED, "the local file is worth a look");
    assert_sound(&here);
    // The very file that is wanted lies there, and no store knows it.
    let here = reader();
    std::fs::remove_dir_all(here.path().join(".port")).unwrap();
    place(&here, &image(2));
    assert!(pull(&here, host, 2) < TALK, "the file is there");
    // Nothing is here.
    let here = reader();
    std::fs::remove_dir_all(here.path().join(".port")).unwrap();
    std::fs::remove_dir_all(here.path().join("g")).unwrap();
    assert!(pull(&here, host, 2) > 2_000_000);
}

#[test]
fn a_push_that_is_refused_leaves_the_name_here_where_it_was() {
    each(["raw", "zstd"], |encoding| {
        let registry = Registry::start();
        let publisher = project(registry.host());
        turn(&publisher, registry.host(), "v1", &format!(r#", encoding = "{encoding}""#));
        place(&publisher, &image(1));
        report(&publisher, "push", &[]);
        let before = publisher.read(".port/store/index.json");
        place(&publisher, &image(2));
        let ran = run(&publisher, "push", &[]);
        assert!(ran.code == 1 && ran.stderr.contains("--overwrite"), "{encoding}\n{ran}");
        assert!(publisher.read(".port/store/index.json") == before, "{encoding}: the name leads elsewhere");
    });
}

#[test]
fn deltas_that_the_registry_refuses_do_not_fail_a_push_that_is_published() {
    let published = AtomicBool::new(false);
    let hook = move |request: &Request| {
        if request.method == "PUT" && request.target.contains("/manifests/v2") {
            published.store(true, Ordering::SeqCst);
        }
        match request.method == "POST" && published.load(Ordering::SeqCst) {
            true => Action::Answer(Reply::new(403, b"")),
            false => Action::Pass,
        }
    };
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    let host = registry.host();
    let publisher = project(host);
    push(&publisher, host, 1, &[]);
    turn(&publisher, host, "v2", "");
    place(&publisher, &image(2));
    let (said, ran) = report(&publisher, "push", &[]);
    assert!(ran.stderr.contains("not all of its deltas"), "{ran}");
    assert!(said["delta_error"].as_str().unwrap().contains("403"), "{said}");
    let cached = publisher.path().join(said["files"][0]["cache_path"].as_str().unwrap());
    assert!(std::fs::read(cached).unwrap() == image(2), "the cache has it");
    pull(&project(host), host, 2);
    assert_sound(&publisher);
}

#[test]
fn packs_are_fetched_side_by_side() {
    // Whoever asks for a blob waits until another is asked for.
    let (asked, overlapped) =
        (Arc::new((Mutex::new(None::<usize>), Condvar::new())), Arc::new(AtomicBool::new(false)));
    let (state, seen) = (Arc::clone(&asked), Arc::clone(&overlapped));
    let hook = move |request: &Request| {
        let (count, moved) = &*state;
        let mut count = count.lock().unwrap();
        if let Some(number) =
            count.as_mut().filter(|_| request.method == "GET" && request.target.contains("/blobs/"))
        {
            *number += 1;
            // Config and map come first and alone.
            moved.notify_all();
            if *number == 3 {
                let patience = std::time::Duration::from_secs(10);
                let (_count, waited) =
                    moved.wait_timeout_while(count, patience, |number| *number == Some(3)).unwrap();
                seen.fetch_or(!waited.timed_out(), Ordering::SeqCst);
            }
        }
        Action::Pass
    };
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    let host = registry.host();
    let publisher = project(host);
    for version in 1..5 {
        push(&publisher, host, version, &["--deltas", "0"]);
    }
    assert_eq!(layers(&manifest(&registry, "v4"), "pack").len(), 4);
    *asked.0.lock().unwrap() = Some(0);
    pull(&project(host), host, 4);
    assert!(overlapped.load(Ordering::SeqCst), "one after the other");
}

#[test]
fn a_pull_uses_the_nearest_versions_and_not_all_of_them() {
    let registry = Registry::start();
    let host = registry.host();
    let publisher = project(host);
    push(&publisher, host, 1, &[]);
    for version in 2..13 {
        push(&publisher, host, version, &["--deltas", "0", "--parent", "v1"]);
    }
    let other = project(host);
    push(&other, host, 13, &["--deltas", "0", "--parent", "v1"]);
    turn(&publisher, host, "v13", "");
    let (_, ran) = report(&publisher, "pull", &[]);
    assert_same(&publisher, &image(13));
    let said = ran.stderr.lines().find(|line| line.contains("bytes are here (")).unwrap();
    let names: Vec<_> = said.split(['(', ')']).nth(1).unwrap().split(", ").collect();
    let expected = ["v12", "v11", "v10", "v9"].map(|version| format!("{host}/{REPOSITORY}:{}", tag(version)));
    assert_eq!((names.len(), &names[..4]), (8, &expected.each_ref().map(String::as_str)[..]), "{said}");
}
