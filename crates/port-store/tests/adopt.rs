//! A kill while a blob is adopted, as a failpoint of this process alone.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use port_content::{failpoint, fs, hashing::digest_of};
use port_store::Store;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_a_kill_leaves_of_an_adoption_can_be_continued() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store")).unwrap();
    let adopt = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        let partial = store.partial_path(&digest).unwrap();
        std::fs::write(&partial, bytes).unwrap();
        (store.adopt(&digest, bytes.len() as u64), store.blob_path(&digest), partial)
    };
    let (adopted, blob, _) = adopt(b"whole");
    adopted.unwrap();
    assert_eq!(mode(&blob), 0o444);

    // It is opened for writing by whoever continues it. Root could do that whatever its mode says, so the mode is looked at.
    failpoint::arm("atomic.before-rename=error").unwrap();
    let (adopted, blob, partial) = adopt(b"killed");
    adopted.unwrap_err();
    assert!(!fs::exists(&blob));
    assert_eq!(mode(&partial) & 0o200, 0o200, "{:o}", mode(&partial));
}
