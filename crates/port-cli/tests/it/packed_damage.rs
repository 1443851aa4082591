//! Packed images whose pieces are damaged or missing, in the registry or here: each pull ends with the right bytes or
//! with a clear error and nothing written, and a push repairs what a push can.

use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use port_content::hashing::digest_of;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Registry};
use serde_json::{Value, json};

use crate::packed::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Versions 1 and 2, the second with a delta.
fn published() -> Registry {
    let registry = Registry::start();
    let publisher = project(registry.host());
    for version in 1..3 {
        push(&publisher, registry.host(), version, &[]);
    }
    registry
}

/// A project that has version 1, or nothing, and is set to version 2.
fn reader(registry: &Registry, has_v1: bool) -> Project {
    let reader = project(registry.host());
    if has_v1 {
        pull(&reader, registry.host(), 1);
    }
    turn(&reader, registry.host(), "v2", "");
    reader
}

fn flipped(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 0x10;
    bytes
}

/// Makes the registry give a blob with one bit changed.
fn spoil(registry: &Registry, digest: &str) {
    let bytes = registry.blob(digest).unwrap();
    let middle = bytes.len() / 2;
    registry.lie(digest, &flipped(bytes, middle));
}

/// The delta of version 2: its blob.
fn delta_blob(registry: &Registry) -> String {
    let project = project(registry.host());
    turn(&project, registry.host(), "v2", "");
    let manifest = deltas(&project)[0]["digest"].as_str().unwrap().to_owned();
    let manifest: Value = serde_json::from_slice(&registry.manifest(REPOSITORY, &manifest).unwrap()).unwrap();
    layers(&manifest, "delta").remove(0)
}

/// A pull that fails changes nothing.
fn fails(registry: &Registry, reader: &Project, had: Option<usize>) -> Ran {
    let ran = run(reader, "pull", &[]);
    assert!([1, 5].contains(&ran.code) && ran.stderr.contains("error: "), "{ran}");
    match had {
        Some(version) => assert_same(reader, &image(version)),
        None => assert!(!reader.exists(IMAGE), "a file although it failed\n{ran}"),
    }
    let verified = reader.port(&["store", "verify"]);
    assert_eq!(verified.code, 0, "{verified}");
    let listed = reader.port(&["store", "list"]);
    assert!(!listed.stdout.contains("root:v2"), "a name although it failed\n{listed}");
    let blobs = std::fs::read_dir(reader.path().join(".port/store/blobs/sha256"));
    let names = blobs.unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stray: Vec<_> = names.filter(|name| name.len() != 64).collect();
    assert!(stray.is_empty(), "half-written: {stray:?}");
    plain(registry, ran)
}

#[test]
fn pieces_that_the_registry_changed_or_lost_are_errors_that_say_what_to_do() {
    each(
        [
            ("map_changed", "map", true, false),
            ("map_lost", "map", false, true),
            ("pack_changed", "pack", false, false),
            ("pack_lost", "pack", false, true),
            ("ranges_lost", "pack", true, true),
        ],
        |(name, word, has_v1, lost)| {
            let registry = published();
            let digest = layers(&manifest(&registry, "v2"), word).pop().unwrap();
            let reader = reader(&registry, has_v1);
            if has_v1 {
                registry.lose_blob(&delta_blob(&registry));
            }
            let kept = registry.blob(&digest).unwrap();
            if lost {
                registry.lose_blob(&digest)
            } else {
                spoil(&registry, &digest)
            }
            insta::assert_snapshot!(name, fails(&registry, &reader, has_v1.then_some(1)));
            // A registry that lost it gets it from whoever pushes the same content again.
            if lost {
                let other = project(registry.host());
                turn(&other, registry.host(), "v2", "");
                place(&other, &image(2));
                report(&other, "push", &["--overwrite"]);
                pull(&project(registry.host()), registry.host(), 2);
            }
            registry.lie(&digest, &kept);
            pull(&reader, registry.host(), 2);
            assert_sound(&reader);
        },
    );
}

#[test]
fn a_range_of_a_pack_that_the_registry_changed_is_never_used() {
    let registry = published();
    registry.lose_blob(&delta_blob(&registry));
    let reader = project(registry.host());
    pull(&reader, registry.host(), 2);
    // From v2 back to v1 some ranges of the first pack are missing.
    let bare = reader;
    let digest = layers(&manifest(&registry, "v1"), "pack").remove(0);
    std::fs::remove_file(blob(&bare, &digest)).unwrap();
    let kept = registry.blob(&digest).unwrap();
    let mut spoilt = kept.clone();
    spoilt.iter_mut().step_by(1000).for_each(|byte| *byte ^= 1);
    registry.lie(&digest, &spoilt);
    turn(&bare, registry.host(), "v1", "");
    let ran = run(&bare, "pull", &[]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("damaged") || ran.stderr.contains("digest"), "{ran}");
    assert_same(&bare, &image(2));
    registry.lie(&digest, &kept);
    pull(&bare, registry.host(), 1);
    assert_sound(&bare);
}

#[test]
fn a_delta_that_is_damaged_is_left_out() {
    type Harm = fn(&Registry, &str);
    let harms: [(&str, Harm); 4] = [
        ("changed", |registry, digest| spoil(registry, digest)),
        ("lost", |registry, digest| registry.lose_blob(digest)),
        ("cut", |registry, digest| registry.lie(digest, &registry.blob(digest).unwrap()[..100])),
        ("empty", |registry, digest| registry.lie(digest, b"")),
    ];
    each(harms, |(name, harm)| {
        let registry = published();
        let reader = reader(&registry, true);
        harm(&registry, &delta_blob(&registry));
        let (said, ran) = report(&reader, "pull", &[]);
        assert!(ran.stderr.contains("is left out"), "{name}\n{ran}");
        assert!((150_000..CHANGED).contains(&said["moved_bytes"].as_u64().unwrap()), "{name}\n{ran}");
        assert_same(&reader, &image(2));
        assert_sound(&reader);
    });
}

#[test]
fn a_delta_whose_bytes_are_others_under_their_own_digest_is_left_out() {
    let registry = published();
    let reader = reader(&registry, true);
    let subject = digest_of(&registry.manifest(REPOSITORY, &tag("v2")).unwrap()).to_string();
    let project = project(registry.host());
    turn(&project, registry.host(), "v2", "");
    let name = deltas(&project)[0]["digest"].as_str().unwrap().to_owned();
    let honest: Value = serde_json::from_slice(&registry.manifest(REPOSITORY, &name).unwrap()).unwrap();
    let blob = registry.blob(&layers(&honest, "delta")[0]).unwrap();
    registry.lose_blob(&layers(&honest, "delta")[0]);
    assert_eq!(honest["subject"]["digest"], *subject);
    let number = |bytes: &[u8]| bytes.len();
    for at in [0, 9, 13, 17, 30, 60, number(&blob) / 2, number(&blob) - 1] {
        let lie = flipped(blob.clone(), at);
        let mut manifest = honest.clone();
        manifest["layers"][0]["digest"] = json!(registry.add_blob(&lie));
        // Another file name would make it another component's.
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let digest = digest_of(&bytes).to_string();
        registry.add_manifest(REPOSITORY, &digest, MANIFEST, &bytes);
    }
    let (_, ran) = report(&reader, "pull", &[]);
    assert!(ran.stderr.contains("is left out"), "{ran}");
    assert_same(&reader, &image(2));
    assert_sound(&reader);
}

fn blob(project: &Project, digest: &str) -> PathBuf {
    project.path().join(".port/store/blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

/// How a file here is damaged.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    /// A byte is changed.
    Byte,
    /// A byte is changed, and the file's modification time set back.
    ByteKeepingTimes,
    /// A byte is changed below what the file system notices: the store's record fits what is there.
    Rot,
    /// It is shorter.
    Cut,
    /// It is gone.
    Gone,
}

const HARMS: [Harm; 5] = [Harm::Byte, Harm::ByteKeepingTimes, Harm::Rot, Harm::Cut, Harm::Gone];

fn harm(project: &Project, path: &Path, how: Harm) {
    let before = std::fs::metadata(path).unwrap();
    if how == Harm::Gone {
        return std::fs::remove_file(path).unwrap();
    }
    let bytes = std::fs::read(path).unwrap();
    let writable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(path, writable).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    if how == Harm::Cut {
        return file.set_len(before.len() - 100).unwrap();
    }
    // The second half of the noise: what both versions have.
    let at = 700 * KIB + 5;
    file.write_all_at(&[bytes[at] ^ 4], at as u64).unwrap();
    if how != Harm::Byte {
        file.set_times(std::fs::FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
    }
    drop(file);
    if how == Harm::Rot {
        std::fs::set_permissions(path, before.permissions()).unwrap();
        forge(project, path);
    }
}

/// Makes the store's record of a file fit the file as it is.
fn forge(project: &Project, path: &Path) {
    let records = std::fs::read_dir(project.path().join(".port/store/files")).unwrap();
    let mut forged = 0;
    for record in records.map(|entry| entry.unwrap().path()) {
        let Ok(mut value) = serde_json::from_slice::<Value>(&std::fs::read(&record).unwrap()) else {
            continue;
        };
        let of = project.path().join(value["path"].as_str().unwrap());
        if of != path && of.canonicalize().ok() != path.canonicalize().ok() {
            continue;
        }
        let metadata = std::fs::metadata(path).unwrap();
        let nanoseconds = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
        let changed = nanoseconds(metadata.ctime(), metadata.ctime_nsec());
        value["modified"] = json!(nanoseconds(metadata.mtime(), metadata.mtime_nsec()));
        value["changed"] = json!(changed);
        value["began"] = json!(changed + 1_000_000_000);
        std::fs::write(record, value.to_string()).unwrap();
        forged += 1;
    }
    assert!(forged > 0, "no record of {}", path.display());
}

fn raw(version: usize) -> String {
    digest_of(&image(version)).to_string()
}

#[test]
fn a_damaged_image_here_is_not_built_upon() {
    let (by_delta, by_packs) = (published(), published());
    by_packs.lose_blob(&delta_blob(&by_packs));
    let cases = HARMS
        .map(|how| (&by_delta, how))
        .into_iter()
        .chain([(&by_packs, Harm::Byte), (&by_packs, Harm::Rot)]);
    each(cases, |(registry, how)| {
        let reader = reader(registry, true);
        harm(&reader, &blob(&reader, &raw(1)), how);
        let ran = run(&reader, "pull", &[]);
        assert_eq!(ran.code, 0, "{how:?}\n{ran}");
        assert_same(&reader, &image(2));
        assert_sound(&reader);
        pull(&reader, registry.host(), 1);
    });
}

#[test]
fn a_damaged_local_file_is_not_built_upon() {
    let registry = published();
    each(HARMS, |how| {
        let reader = reader(&registry, true);
        std::fs::remove_file(blob(&reader, &raw(1))).unwrap();
        harm(&reader, &reader.path().join(IMAGE), how);
        let ran = run(&reader, "pull", &[]);
        assert_eq!(ran.code, 0, "{how:?}\n{ran}");
        assert_same(&reader, &image(2));
        assert_sound(&reader);
    });
}

#[test]
fn a_damaged_pack_or_map_here_is_fetched_again() {
    let registry = published();
    let cases = HARMS.map(|how| ("pack", how)).into_iter().chain([("map", Harm::Byte), ("map", Harm::Gone)]);
    each(cases, |(word, how)| {
        let reader = reader(&registry, true);
        let digest = layers(&manifest(&registry, "v1"), word).remove(0);
        // Only the pieces are here.
        for gone in [blob(&reader, &raw(1)), reader.path().join(IMAGE)] {
            std::fs::remove_file(gone).unwrap();
        }
        harm_anywhere(&reader, &blob(&reader, &digest), how);
        pull(&reader, registry.host(), 1);
        pull(&reader, registry.host(), 2);
        assert_sound(&reader);
    });
}

/// As [`harm`], for files that may be small.
fn harm_anywhere(project: &Project, path: &Path, how: Harm) {
    if std::fs::metadata(path).unwrap().len() > 1024 * KIB as u64 || how == Harm::Gone {
        return harm(project, path, how);
    }
    let writable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(path, writable).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    std::fs::write(path, flipped(bytes, middle)).unwrap();
}

#[test]
fn a_publisher_whose_parent_rotted_publishes_what_it_has() {
    each([Harm::Byte, Harm::Rot, Harm::Gone], |how| {
        let registry = Registry::start();
        let host = registry.host();
        let publisher = project(host);
        push(&publisher, host, 1, &[]);
        harm(&publisher, &blob(&publisher, &raw(1)), how);
        // The new image has the very byte that the rot made.
        let mut content = image(2);
        content[700 * KIB + 5] ^= 4;
        turn(&publisher, host, "v2", "");
        place(&publisher, &content);
        let ran = run(&publisher, "push", &[]);
        assert_eq!(ran.code, 0, "{how:?}\n{ran}");
        for has_v1 in [true, false] {
            let reader = reader(&registry, has_v1);
            report(&reader, "pull", &[]);
            assert_same(&reader, &content);
        }
    });
}

#[test]
fn a_registry_without_ranges_gives_the_right_bytes() {
    let registry = able(Abilities { ranges: false, ..Abilities::default() });
    let publisher = project(registry.host());
    for version in 1..3 {
        push(&publisher, registry.host(), version, &["--deltas", "0"]);
    }
    let reader = reader(&registry, true);
    pull(&reader, registry.host(), 2);
    // Back again, where ranges of the first pack are wanted.
    std::fs::remove_file(blob(&reader, &raw(1))).unwrap();
    std::fs::remove_file(blob(&reader, &layers(&manifest(&registry, "v1"), "pack")[0])).unwrap();
    pull(&reader, registry.host(), 1);
    assert_sound(&reader);
}
