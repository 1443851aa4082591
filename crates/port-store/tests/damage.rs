//! What is noticed of files that changed, with and without a trace, and how they are replaced.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]

use std::fs::{File, FileTimes};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use port_content::{fs, hashing::digest_of};
use port_model::{Digest, progress::Silent};
use port_store::Store;
use serde_json::Value;

const SIZE: usize = 4 << 20;

/// What is done to a file, in words and in code.
type Change<'a> = (&'a str, &'a dyn Fn(&Path));

/// A store with one large blob, which is known and at rest, and the blob's path.
fn store_with_image() -> (tempfile::TempDir, Store, Digest, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store")).unwrap();
    let operation = store.operation().unwrap();
    let digest = store.ingest_bytes("image", &image()).unwrap().digest;
    drop(operation);
    let path = store.blob_path(&digest);
    // Another process: what this one wrote itself it believes without looking.
    let store = Store::open(store.root()).unwrap();
    assert!(store.known_digest(&path).is_some(), "the record was written");
    (directory, store, digest, path)
}

fn image() -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from(at / 4096 % 251).unwrap() + 1).collect()
}

fn writable(path: &Path) -> File {
    fs::set_mode(path, 0o644).unwrap();
    let file = fs::open_writable(path).unwrap();
    fs::set_mode(path, 0o444).unwrap();
    file
}

/// Changes the file as a failing disk does: size, inode and times stay, so that the record still describes it.
fn rot(store: &Store, path: &Path, bytes: &[u8], at: u64) {
    writable(path).write_all_at(bytes, at).unwrap();
    let name = digest_of(std::path::absolute(path).unwrap().as_os_str().as_encoded_bytes());
    let place = store.root().join("files").join(name.hex());
    let mut record: Value = serde_json::from_slice(&std::fs::read(&place).unwrap()).unwrap();
    let metadata = std::fs::metadata(path).unwrap();
    let nanoseconds = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
    record["modified"] = nanoseconds(metadata.mtime(), metadata.mtime_nsec()).into();
    record["changed"] = nanoseconds(metadata.ctime(), metadata.ctime_nsec()).into();
    record["began"] = nanoseconds(metadata.ctime() + 1, 0).into();
    std::fs::write(&place, record.to_string()).unwrap();
}

#[test]
fn what_leaves_a_trace_is_always_noticed() {
    let flip = |path: &Path| {
        let before = std::fs::metadata(path).unwrap();
        let file = writable(path);
        file.write_all_at(b"\xff", 1234).unwrap();
        // Its modification time is set back, as a tool that copies times does.
        file.set_times(FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
    };
    let truncate = |path: &Path| writable(path).set_len(4096).unwrap();
    let swap = |path: &Path| {
        let before = std::fs::metadata(path).unwrap();
        let other = path.with_extension("other");
        let mut bytes = image();
        bytes[77] ^= 1;
        std::fs::write(&other, bytes).unwrap();
        fs::open_writable(&other)
            .unwrap()
            .set_times(FileTimes::new().set_modified(before.modified().unwrap()))
            .unwrap();
        std::fs::rename(&other, path).unwrap();
    };
    let changes: [Change<'_>; 3] =
        [("a flipped byte, its time set back", &flip), ("a truncation", &truncate), ("another inode", &swap)];
    for (what, change) in changes {
        let (directory, store, digest, path) = store_with_image();
        change(&path);
        assert_eq!(store.known_digest(&path), None, "{what}");
        let target = directory.path().join("cache/rootfs.ext4");
        assert!(store.share(&digest, SIZE as u64, &target).is_err(), "{what}: handed out");
        assert!(!store.has_sound(&digest).unwrap(), "{what}");
    }
}

#[test]
fn a_blob_that_was_changed_through_the_cache_is_no_blob() {
    let (directory, store, digest, path) = store_with_image();
    let cache = directory.path().join("cache/rootfs.ext4");
    let operation = store.operation().unwrap();
    assert!(store.share(&digest, SIZE as u64, &cache).unwrap());
    drop(operation);
    let store = Store::open(store.root()).unwrap();
    if std::fs::metadata(&cache).unwrap().ino() != std::fs::metadata(&path).unwrap().ino() {
        eprintln!("skipped: this file system shares blocks, not inodes");
        return;
    }
    writable(&cache).write_all_at(b"changed", 0).unwrap();
    assert_eq!((store.known_digest(&cache), store.known_digest(&path)), (None, None));
    let handed_out = store.handed_out(&digest).unwrap();
    assert_eq!(handed_out, std::slice::from_ref(&cache), "another name of the damaged blob");
    assert!(!store.has_sound(&digest).unwrap());
    store.ingest_bytes("image", &image()).unwrap();
    assert!(store.replace(&cache, &digest, SIZE as u64).unwrap());
    assert!(std::fs::read(&cache).unwrap() == image());
    assert!(!store.replace(&cache, &digest, SIZE as u64).unwrap(), "once");
}

#[test]
fn rot_without_a_trace_is_noticed_by_sampling_where_it_is_large_and_by_verification_always() {
    let (_directory, store, digest, path) = store_with_image();
    rot(&store, &path, &vec![0xff; SIZE / 4], 0);
    assert_eq!(store.known_digest(&path), None, "a quarter in one stretch is seen by every look");
    assert!(!store.has_sound(&digest).unwrap() && !store.has(&digest));

    let (_directory, store, digest, path) = store_with_image();
    rot(&store, &path, b"\xff", 4096 * 1000 + 1);
    let damaged = store.verify(&Silent).unwrap().damaged;
    assert_eq!(damaged.iter().map(|damage| &damage.digest).collect::<Vec<_>>(), [&digest]);
    assert!(store.has(&digest), "verification removes nothing");
    assert_eq!(store.known_digest(&path), None, "and is believed over the record");
    assert!(!Store::open(store.root()).unwrap().has_sound(&digest).unwrap());
}

#[test]
fn a_file_that_rotted_is_not_taken_in_as_something_new() {
    let (directory, store, digest, _) = store_with_image();
    let local = directory.path().join("rootfs.ext4");
    let operation = store.operation().unwrap();
    store.materialise(&digest, SIZE as u64, &local).unwrap();
    drop(operation);
    let store = Store::open(store.root()).unwrap();
    rot(&store, &local, &vec![0xff; SIZE / 2], 0);
    let error = store.ingest_file(&local).unwrap_err();
    assert!(
        matches!(&error, port_store::StoreError::Rotten { expected, .. } if expected == &digest),
        "{error}"
    );
    // Whoever asks for its digest is told what lies there; that is not remembered in place of what it was.
    let rotten = store.digest_of_file(&local).unwrap();
    for process in [Store::open(store.root()).unwrap(), Store::open(store.root()).unwrap()] {
        assert_eq!(process.known_digest(&local), None);
        assert_eq!(process.digest_of_file(&local).unwrap(), rotten);
        let error = process.digest_to_publish(&local).unwrap_err();
        assert!(
            matches!(&error, port_store::StoreError::Rotten { expected, found, .. }
                if expected == &digest && found == &rotten.0),
            "{error}"
        );
    }
    // Touched, it is a file that somebody wrote.
    let later = std::time::SystemTime::now();
    fs::open_writable(&local).unwrap().set_times(FileTimes::new().set_modified(later)).unwrap();
    assert_eq!(store.digest_to_publish(&local).unwrap(), rotten);
    assert_ne!(store.ingest_file(&local).unwrap().digest, digest);
}

#[test]
fn rot_that_one_look_found_is_not_overlooked_by_the_next() {
    let (directory, store, digest, _) = store_with_image();
    let local = directory.path().join("rootfs.ext4");
    let operation = store.operation().unwrap();
    store.materialise(&digest, SIZE as u64, &local).unwrap();
    drop(operation);
    // So little that most looks miss it.
    rot(&store, &local, &vec![0xff; SIZE / 64], 0);
    let found =
        (0..2000).map(|_| Store::open(store.root()).unwrap()).find(|s| s.known_digest(&local).is_none());
    let store = found.expect("a look in four finds it");
    assert!((0..50).all(|_| store.known_digest(&local).is_none()));
    store.digest_to_publish(&local).unwrap_err();
}

#[test]
fn a_record_without_samples_is_not_believed_of_a_large_file() {
    let (_directory, store, _, path) = store_with_image();
    let name = digest_of(std::path::absolute(&path).unwrap().as_os_str().as_encoded_bytes());
    let place = store.root().join("files").join(name.hex());
    let mut record: Value = serde_json::from_slice(&std::fs::read(&place).unwrap()).unwrap();
    assert!(record["samples"].as_array().unwrap().len() == 256 && store.known_digest(&path).is_some());
    record.as_object_mut().unwrap().remove("samples");
    std::fs::write(&place, record.to_string()).unwrap();
    let store = Store::open(store.root()).unwrap();
    assert_eq!(store.known_digest(&path), None);
    store.digest_of_file(&path).unwrap();
    assert!(store.known_digest(&path).is_some());
}

#[test]
fn a_copy_is_taken_in_only_if_it_has_the_bytes() {
    let (directory, store, digest, path) = store_with_image();
    let local = directory.path().join("rootfs.ext4");
    let operation = store.operation().unwrap();
    store.materialise(&digest, SIZE as u64, &local).unwrap();
    drop(operation);
    let store = Store::open(store.root()).unwrap();
    assert_eq!(store.handed_out(&digest).unwrap(), std::slice::from_ref(&local));
    std::fs::remove_file(&path).unwrap();
    rot(&store, &local, b"\xff", 12);
    assert_eq!(store.handed_out(&digest).unwrap(), std::slice::from_ref(&local), "nothing tells");
    assert!(!store.adopt_copy(&local, &digest, SIZE as u64).unwrap() && !store.has(&digest));
    std::fs::write(&local, image()).unwrap();
    assert_eq!(store.handed_out(&digest).unwrap(), [] as [PathBuf; 0], "somebody wrote to it: it is theirs");
    assert!(store.adopt_copy(&local, &digest, SIZE as u64).unwrap() && store.has_sound(&digest).unwrap());
}
