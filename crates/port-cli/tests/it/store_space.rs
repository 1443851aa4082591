//! What the store takes on the disk, and what garbage collection frees.

use serde_json::Value;

use crate::fixture::*;
use crate::store_repair::{IMAGE, blobs, image, project};

fn row(project: &port_testkit::project::Project) -> Value {
    let ran = project.port(&["--format", "json", "store", "list"]);
    serde_json::from_str::<Value>(&ran.stdout).unwrap()[0].clone()
}

fn bytes(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("{key}: {row}"))
}

#[test]
fn list_tells_files_from_what_travels_and_from_what_lies_here() {
    for encoding in ["raw", "packed"] {
        let registry = port_testkit::registry::Registry::start();
        let project = project(registry.host(), encoding);
        project.write(IMAGE, image());
        succeed(&project, "push", "root");
        let row = row(&project);
        assert_eq!(bytes(&row, "file_bytes"), image().len() as u64);
        let published = bytes(&row, "published_bytes");
        // Noise does not compress: what is packed is the data without the hole.
        assert_eq!(published == image().len() as u64, encoding == "raw", "{row}");
        assert!(published > 1_700_000, "{row}");
        // The local file has no holes, and the copy of it has not either; packs lie beside it.
        let least = if encoding == "raw" { 3_800_000 } else { 5_000_000 };
        assert!(bytes(&row, "disk_bytes") > least, "{encoding} {row}");
    }
}

#[test]
fn collection_counts_downloads_and_drops_packs_only_if_told_to_and_only_if_the_file_is_sound() {
    let registry = port_testkit::registry::Registry::start();
    let project = project(registry.host(), "packed");
    project.write(IMAGE, image());
    succeed(&project, "push", "root");
    project.write(".port/store/partial/0123", vec![1; 5000]);
    project.write(".port/store/partial/0123.port-download", b"{}");
    let ran = project.port(&["--format", "json", "store", "gc"]);
    let collected: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((bytes(&collected, "blobs"), bytes(&collected, "partial")), (0, 1), "{ran}");
    assert!(bytes(&collected, "partial_bytes") >= 5000 && blobs(&project).len() == 5, "{ran}");

    let ran = project.port(&["--format", "json", "store", "gc", "--packs"]);
    let collected: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(bytes(&collected, "blobs"), 1, "the pack; the map stays\n{ran}");
    assert!(bytes(&collected, "bytes") > 1_700_000, "{ran}");
    assert_eq!(project.port(&["store", "verify"]).code, 0);
    let pulled = succeed(&project, "pull", "root");
    assert!(project.read(IMAGE) == image(), "{pulled}");
    succeed(&project, "push", "root");
    assert_eq!(project.port(&["store", "verify"]).code, 0);

    // A second project, whose file is damaged: its packs are what it can be made of.
    // At a registry of its own: what is published already is not packed again, and its packs are not fetched.
    let registry = port_testkit::registry::Registry::start();
    let other = crate::store_repair::project(registry.host(), "packed");
    other.write(IMAGE, image());
    succeed(&other, "push", "root");
    let file =
        other.path().join(".port/store/blobs/sha256").join(port_content::hashing::digest_of(&image()).hex());
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, b"other").unwrap();
    let before = blobs(&other).len();
    assert_eq!(other.port(&["store", "gc", "--packs"]).code, 0);
    assert_eq!(blobs(&other).len(), before - 1, "the damaged file alone is gone");
    assert_eq!(other.port(&["store", "verify"]).code, 0, "packs are enough");
}
