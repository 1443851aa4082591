//! Files that are large enough to go out from where they lie, while they go into the store.

use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use port_content::hashing::digest_of;
use port_testkit::project::Project;
use port_testkit::registry::{Abilities, Action, Registry};
use serde_json::Value;

use crate::fixture::*;
use crate::packed;
use crate::registry::{ANONYMOUS, TAG, noise, registry_project};
use crate::registry_faults::{MIB, large};

/// Changes a quarter of a file as a failing disk does: its record still describes it.
fn rot(project: &Project, path: &str) {
    let file = project.path().join(path);
    let opened = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    let metadata = opened.metadata().unwrap();
    opened.write_all_at(&vec![0xff; usize::try_from(metadata.len() / 4).unwrap()], 0).unwrap();
    let records = std::fs::read_dir(project.path().join(".port/store/files")).unwrap();
    let read = |place: &Path| -> Value { serde_json::from_slice(&std::fs::read(place).unwrap()).unwrap() };
    let place = records
        .map(|entry| entry.unwrap().path())
        .find(|place| Path::new(read(place)["path"].as_str().unwrap()).ends_with(path))
        .unwrap();
    let (mut record, metadata) = (read(&place), opened.metadata().unwrap());
    let nanoseconds = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
    record["modified"] = nanoseconds(metadata.mtime(), metadata.mtime_nsec()).into();
    record["changed"] = nanoseconds(metadata.ctime(), metadata.ctime_nsec()).into();
    record["began"] = nanoseconds(metadata.ctime() + 1, 0).into();
    std::fs::write(&place, record.to_string()).unwrap();
}

#[test]
fn a_large_file_that_rotted_is_not_published_as_something_new() {
    let registry = Registry::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    let local = project.write(LOCAL_KERNEL, b"");
    std::fs::copy(large(64), &local).unwrap();
    succeed(&project, "push", "tiny");
    let published = registry.manifest("port/tiny", TAG).unwrap();
    rot(&project, LOCAL_KERNEL);
    // Whoever looks at it in between does not take it for what it was meant to be.
    for verb in ["push", "inspect", "push"] {
        let ran = artifacts(&project, verb, "tiny");
        if verb == "push" {
            assert_eq!(ran.code, 1, "{ran}");
            assert!(ran.stderr.contains("` is damaged: nobody wrote to it"), "{ran}");
            assert!(ran.stderr.contains("hint: restore it with `port artifacts pull`"), "{ran}");
        }
    }
    assert!(registry.manifest("port/tiny", TAG).unwrap() == published);
    // `touch` says that it is meant to be so.
    let touched = std::fs::OpenOptions::new().write(true).open(&local).unwrap();
    touched.set_modified(std::time::SystemTime::now()).unwrap();
    let more = ["artifacts", "push", "--artifact", "tiny", "--overwrite"];
    let ran = project.port(&[&more[..], &X86].concat());
    assert_eq!(ran.code, 0, "{ran}");
    assert!(registry.manifest("port/tiny", TAG).unwrap() != published);
}

#[test]
fn the_same_version_is_pushed_again_from_elsewhere_and_another_one_is_refused_unsent() {
    let registry = Registry::start();
    let project = packed::project(registry.host());
    packed::place(&project, &packed::image(1));
    let initrd = project.path().join("g/x86_64/standard").join(port_model::INITRD_FILE_NAME);
    std::fs::copy(large(64), &initrd).unwrap();
    let (report, _) = packed::report(&project, "push", &[]);
    assert_eq!(report["files"].as_array().map(Vec::len), Some(2), "{report}");
    // As a runner does that has the files and nothing else.
    std::fs::remove_dir_all(project.path().join(".port")).unwrap();
    let before = registry.traffic().0;
    packed::report(&project, "push", &[]);
    assert!(registry.traffic().0 - before < packed::TALK, "it was there");
    std::fs::remove_dir_all(project.path().join(".port")).unwrap();
    let changed = std::fs::OpenOptions::new().write(true).open(&initrd).unwrap();
    changed.write_all_at(b"changed", 5).unwrap();
    let before = registry.traffic().0;
    let ran = packed::run(&project, "push", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("cannot be published as"), "{ran}");
    assert!(registry.traffic().0 - before < packed::TALK, "it was sent in vain");
}

/// What lies among the blobs without being one.
fn unfinished(project: &Project) -> Vec<String> {
    let blobs = std::fs::read_dir(project.path().join(".port/store/blobs/sha256")).unwrap();
    let names = blobs.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn a_push_that_cannot_take_its_file_in_leaves_no_half_packs() {
    // Slower to pack than to copy.
    let noise = noise(usize::try_from(80 * MIB).unwrap());
    let content: Vec<u8> =
        noise.into_iter().map(|byte| b"0123456789abcdef"[usize::from(byte & 15)]).collect();
    let hex = digest_of(&content).hex().to_owned();
    let in_the_way = Arc::<Mutex<Option<std::path::PathBuf>>>::default();
    let place = Arc::clone(&in_the_way);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |_| {
            // Something that no file can be renamed onto, where the image is to be.
            if let Some(place) = &*place.lock().unwrap() {
                let _ = std::fs::create_dir(place);
            }
            Action::Pass
        }),
    );
    let project = packed::project(registry.host());
    packed::place(&project, &content);
    *in_the_way.lock().unwrap() = Some(project.path().join(".port/store/blobs/sha256").join(hex));
    let ran = packed::run(&project, "push", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("the store at"), "{ran}");
    assert_eq!(unfinished(&project), [""; 0], "{ran}");
}
