//! The store as its callers see it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use port_content::{atomic, fs, hashing::digest_of};
use port_layout::{Descriptor, media_types, native};
use port_model::progress::Silent;
use port_model::*;
use port_store::{Packs, Store, StoreError};

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store")).unwrap();
    (directory, store)
}

/// A tagged kernel bundle with this content.
fn tagged(store: &Store, name: &str, content: &[u8]) -> Descriptor {
    let blob = store.ingest_bytes("vmlinux", content).unwrap();
    let bundle = Bundle {
        class: ArtifactClass::Kernel,
        variant: Variant::new(Architecture::X86_64, Substrate::Firecracker, ProtectionMode::Standard),
        components: vec![Component {
            kind: ComponentKind::Kernel,
            format: ComponentFormat::Vmlinux,
            file_name: "vmlinux".parse().unwrap(),
            size: blob.size,
            digest: blob.digest,
        }],
        kernel: None,
        boot_arguments: None,
        provenance: None,
    };
    let encoded = native::encode(&bundle, digest_of);
    store.ingest_bytes("config", &encoded.config).unwrap();
    let manifest = store.ingest_bytes("manifest", &encoded.manifest).unwrap();
    let entry = native::index_entry(&bundle, manifest.digest, manifest.size);
    store.tag(name, entry.clone()).unwrap();
    entry
}

#[test]
fn a_blob_is_named_only_when_it_is_what_was_expected() {
    let (_directory, store) = store();
    let mut ingest = store.ingest("vmlinux").unwrap();
    ingest.file().write_all(b"kernes").unwrap();
    let error = ingest.commit(Some((&digest_of(b"kernel"), 6))).unwrap_err();
    assert!(matches!(&error, StoreError::Mismatch { subject, .. } if subject == "vmlinux"), "{error}");
    assert_eq!(fs::read_dir(&store.root().join("blobs/sha256")).unwrap().len(), 0);
    let blob = store.ingest_bytes("vmlinux", b"kernel").unwrap();
    let mode = fs::metadata(&store.blob_path(&blob.digest)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
}

#[test]
fn names_survive_reopening_and_move_to_the_newest() {
    let (_directory, store) = store();
    let one = tagged(&store, "demo:v1", b"one");
    let two = tagged(&store, "demo:v1", b"two");
    assert_ne!(one.digest, two.digest);
    let again = Store::open(store.root()).unwrap();
    assert_eq!(again.resolve("demo:v1").unwrap().unwrap().digest, two.digest);
    assert_eq!(again.resolve("demo:v2").unwrap(), None);
    assert!(again.untag("demo:v1").unwrap() && !again.untag("demo:v1").unwrap());
}

#[test]
fn collection_keeps_what_names_lead_to() {
    let (_directory, store) = store();
    tagged(&store, "demo:v1", b"one");
    tagged(&store, "demo:v1", b"two");
    let collected = store.collect_garbage(Packs::Keep).unwrap();
    assert_eq!(collected.blobs, 3, "the first kernel, its config and its manifest");
    assert!(store.has(&digest_of(b"two")) && !store.has(&digest_of(b"one")));
    assert_eq!(store.verify(&Silent).unwrap().damaged, []);
}

#[test]
fn verification_names_what_is_damaged_and_what_is_missing() {
    let (_directory, store) = store();
    tagged(&store, "demo:v1", b"kernel");
    let path = store.blob_path(&digest_of(b"kernel"));
    atomic::write(&path, b"kernes").unwrap();
    let damaged = store.verify(&Silent).unwrap().damaged;
    assert_eq!(damaged.len(), 1);
    assert_eq!(
        (&damaged[0].digest, &damaged[0].names[..]),
        (&digest_of(b"kernel"), &["demo:v1".to_owned()][..])
    );
    fs::remove_file(&path).unwrap();
    assert_eq!(store.verify(&Silent).unwrap().damaged[0].found, "nothing");
}

#[test]
fn a_packed_component_may_be_here_as_its_file_or_as_its_packs() {
    let (_directory, store) = store();
    let [file, map, pack] =
        [&b"image"[..], b"map", b"pack"].map(|bytes| store.ingest_bytes("x", bytes).unwrap());
    let bundle = Bundle {
        class: ArtifactClass::GuestImage,
        variant: Variant::new(Architecture::X86_64, Substrate::Firecracker, ProtectionMode::Standard),
        components: vec![Component {
            kind: ComponentKind::Rootfs,
            format: ComponentFormat::Ext4,
            file_name: "rootfs.ext4".parse().unwrap(),
            size: file.size,
            digest: file.digest.clone(),
        }],
        kernel: None,
        boot_arguments: None,
        provenance: None,
    };
    let blob = |blob: &port_store::Blob| port_layout::Blob { digest: blob.digest.clone(), size: blob.size };
    let stored = [native::Stored::Packed { map: blob(&map), packs: vec![blob(&pack)] }];
    let encoded = native::encode_stored(&bundle, &stored, digest_of).unwrap();
    store.ingest_bytes("config", &encoded.config).unwrap();
    let manifest = store.ingest_bytes("manifest", &encoded.manifest).unwrap();
    store.tag("demo:v1", native::index_entry(&bundle, manifest.digest, manifest.size)).unwrap();
    assert_eq!(store.collect_garbage(Packs::Keep).unwrap().blobs, 0, "both forms are kept");
    fs::remove_file(&store.blob_path(&pack.digest)).unwrap();
    assert_eq!(store.verify(&Silent).unwrap().damaged, [], "the file is enough");
    fs::remove_file(&store.blob_path(&file.digest)).unwrap();
    let damaged = store.verify(&Silent).unwrap().damaged;
    assert_eq!(damaged.iter().map(|damage| &damage.digest).collect::<Vec<_>>(), [&pack.digest]);
}

#[test]
fn a_file_that_others_go_by_is_taken_in_only_as_long_as_it_is_that_one() {
    let (directory, store) = store();
    let path = directory.path().join("rootfs.img");
    let large = vec![7; usize::try_from(port_content::aside::LARGE).unwrap() + 1];
    for content in [&b"small"[..], &large] {
        std::fs::write(&path, content).unwrap();
        let (digest, size) = store.digest_of_file(&path).unwrap();
        let blob = store.ingest_aside(&path, &digest).unwrap();
        assert_eq!((&blob.digest, blob.size), (&digest, size));
        assert!(store.check_blob(&digest).unwrap());
        let mut changed = content.to_vec();
        changed[3] = 0;
        std::fs::write(&path, &changed).unwrap();
        let error = store.ingest_aside(&path, &digest).unwrap_err();
        assert!(matches!(&error, StoreError::ChangedMeanwhile { path: found } if found == &path), "{error}");
        // Neither where the other content is known, nor where it is in the store.
        store.ingest_file(&path).unwrap();
        assert!(store.ingest_aside(&path, &digest).is_err());
        let other = store.digest_of_file(&path).unwrap().0;
        std::fs::write(&path, b"a third").unwrap();
        assert!(store.ingest_aside(&path, &other).is_err());
        assert!(!store.has(&digest_of(b"a third")), "nothing is added");
    }
}

#[test]
fn a_changed_file_is_never_taken_for_the_known_one() {
    let (directory, store) = store();
    let path = directory.path().join("rootfs.ext4");
    for content in [b"one", b"two", b"six"] {
        // Same size, written in quick succession: the hardest case for a record of times.
        atomic::write(&path, content).unwrap();
        assert_eq!(store.digest_of_file(&path).unwrap().0, digest_of(content));
        let file = fs::open_writable(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"xyz", 0).unwrap();
        assert_eq!(store.digest_of_file(&path).unwrap().0, digest_of(b"xyz"));
    }
}

#[test]
fn a_materialised_file_is_known_at_once_and_written_once() {
    let (directory, store) = store();
    let blob = store.ingest_bytes("rootfs", b"image").unwrap();
    let target = directory.path().join("cache/rootfs.ext4");
    assert!(store.materialise(&blob.digest, blob.size, &target).unwrap());
    assert_eq!(store.known_digest(&target), Some((blob.digest.clone(), blob.size)));
    assert!(!store.materialise(&blob.digest, blob.size, &target).unwrap());
    atomic::write(&target, b"imagf").unwrap();
    assert_eq!(store.known_digest(&target), None);
    assert!(store.materialise(&blob.digest, blob.size, &target).unwrap());
    let wrong = store.materialise(&blob.digest, 99, &directory.path().join("other")).unwrap_err();
    assert!(matches!(wrong, StoreError::Damaged { expected: 99, found: 5, .. }));
}

#[test]
fn a_newer_store_is_left_alone() {
    let (_directory, store) = store();
    let meta = store.root().join("meta.json");
    atomic::write(&meta, br#"{"version":2}"#).unwrap();
    let error = Store::open(store.root()).unwrap_err();
    assert!(matches!(error, StoreError::Version { found: 2, known: 1, .. }));
    atomic::write(&meta, br#"{"version":1,"incompatible":["packs"]}"#).unwrap();
    let error = Store::open(store.root()).unwrap_err();
    assert!(matches!(error, StoreError::Feature { feature, .. } if feature == "packs"));
}

#[test]
fn eight_writers_of_one_name_leave_a_whole_store() {
    let (_directory, store) = store();
    std::thread::scope(|scope| {
        for writer in 0..8u8 {
            let store = &store;
            scope.spawn(move || {
                let _operation = store.operation().unwrap();
                tagged(store, &format!("demo:v{writer}"), &[writer]);
                tagged(store, "demo:latest", &[writer]);
            });
        }
    });
    assert_eq!(store.index().unwrap().manifests.len(), 9);
    assert_eq!(store.verify(&Silent).unwrap().damaged, []);
    let entry = store.resolve("demo:latest").unwrap().unwrap();
    assert_eq!(entry.media_type, media_types::OCI_MANIFEST);
}

#[test]
fn what_is_no_regular_file_is_no_blob_and_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store")).unwrap();
    let digest = store.ingest_bytes("kernel", b"kernel").unwrap().digest;
    let (place, elsewhere) = (store.blob_path(&digest), directory.path().join("elsewhere"));
    port_content::atomic::write(&elsewhere, b"kernel").unwrap();
    for stands_there in ["link", "directory"] {
        fs::remove_file(&place).unwrap();
        match stands_there {
            "link" => fs::symlink(&elsewhere, &place).unwrap(),
            _ => fs::create_dir_all(&place.join("deeper")).unwrap(),
        }
        assert!(!store.has_sound(&digest).unwrap(), "{stands_there}");
        assert!(!fs::exists(&place) && fs::exists(&elsewhere), "{stands_there}");
        store.ingest_bytes("kernel", b"kernel").unwrap();
    }
}
