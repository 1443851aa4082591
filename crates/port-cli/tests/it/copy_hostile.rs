//! `port artifacts copy` from sources that lie: wrong bytes, ways out of a directory, documents without end.

use std::path::Path;

use port_content::hashing::digest_of;
use port_testkit::registry::{Abilities, Action, Registry, Reply};

use crate::copy::*;
use crate::registry::noise;

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_refused() {
    let layer = noise(2 << 20);
    let text = manifest(&layer, None);
    let wrong = vec![b'x'; layer.len()];
    let path = format!("/blobs/{}", digest_of(&layer));
    let hook = Box::new(move |request: &port_testkit::registry::Request| {
        if request.method == "GET" && request.target.ends_with(&path) {
            return Action::Answer(Reply::new(200, &wrong));
        }
        Action::Pass
    });
    let one = Registry::with(Abilities::default(), hook);
    one.add_blob(&layer);
    one.add_blob(b"{}");
    one.add_manifest("a", "v1", MANIFEST, text.as_bytes());
    let project = empty();
    let from = format!("{}/a:v1", one.host());
    refused(&project, &from, "oci:out:v1", "the registry sent other bytes than it named");
    assert!(!String::from_utf8_lossy(&project.read("out/index.json")).contains("ref.name"), "half-tagged");
    let two = registry(true);
    refused(&project, &from, &format!("{}/a:v1", two.host()), "the registry sent other bytes than it named");
    assert!(two.manifest("a", "v1").is_none());
    // The same in a layout: of the right size, with other bytes.
    layout(project.path(), &text, &layer);
    let blob = format!("lying/blobs/sha256/{}", digest_of(&layer).hex());
    project.write(&blob, vec![b'x'; layer.len()]);
    refused(&project, "oci:lying:v1", &format!("{}/a:v1", two.host()), "is something else");
    refused(&project, "oci:lying:v1", "oci:out:v1", "is something else");
    assert!(two.manifest("a", "v1").is_none());
}

/// A layout `lying` with one manifest named `v1`.
fn layout(root: &Path, text: &str, layer: &[u8]) {
    let root = root.join("lying");
    std::fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    for bytes in [text.as_bytes(), layer, b"{}"] {
        std::fs::write(root.join("blobs/sha256").join(digest_of(bytes).hex()), bytes).unwrap();
    }
    let entry = descriptor(MANIFEST, text.as_bytes());
    let entry = entry.replacen('{', r#"{"annotations":{"org.opencontainers.image.ref.name":"v1"},"#, 1);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
    std::fs::write(root.join("index.json"), index).unwrap();
}

#[test]
fn a_layout_cannot_lead_out_of_its_directory() {
    let project = empty();
    let text = manifest(b"layer", None);
    layout(project.path(), &text, b"layer");
    copied(&project, "oci:lying:v1", "oci:fine:v1", &[]);
    let blob = project.path().join("lying/blobs/sha256").join(digest_of(b"layer").hex());
    let secret = project.write("secret", "layer");
    std::fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(&secret, &blob).unwrap();
    refused(&project, "oci:lying:v1", "oci:out:v1", "cannot open");
    // A directory of blobs that is a link.
    std::fs::rename(project.path().join("lying/blobs/sha256"), project.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(project.path().join("elsewhere"), project.path().join("lying/blobs/sha256"))
        .unwrap();
    refused(&project, "oci:lying:v1", "oci:out:v1", "is no directory of its own");
    // Names and digests that go up.
    for place in ["oci:lying:../../secret", "oci:lying@sha256:../../secret"] {
        let ran = copy(&project, place, "oci:out:v1", &[]);
        assert_eq!(ran.code, 2, "{ran}");
    }
    let index = project.path().join("fine/index.json");
    let text = std::fs::read_to_string(&index).unwrap();
    let digest = text.split("\"digest\":\"").nth(1).unwrap().split('"').next().unwrap();
    std::fs::write(&index, text.replace(digest, "sha256:../../../secret")).unwrap();
    refused(&project, "oci:fine:v1", "oci:out:v1", "cannot be read");
    // A directory with something else in it is not taken for a layout.
    project.write("home/letter", "dear");
    refused(&project, "oci:lying:v1", "oci:home:v1", "is no directory of its own");
    assert!(!project.exists("home/oci-layout"));
}

#[test]
fn documents_without_end_are_refused() {
    let one = registry(true);
    let project = empty();
    let from = format!("{}/a:v1", one.host());
    // Indexes in indexes.
    let mut inner = index(&[]);
    for _ in 0..8 {
        one.add_manifest("a", &name(&inner), INDEX, inner.as_bytes());
        let entry = descriptor(INDEX, inner.as_bytes());
        inner = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entry}]}}"#);
    }
    one.add_manifest("a", "v1", INDEX, inner.as_bytes());
    refused(&project, &from, "oci:out:v1", "nest deeper than 4");
    // More entries than are read.
    let entry = descriptor(MANIFEST, b"x");
    let bomb = vec![entry.as_str(); 2049].join(",");
    let bomb = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{bomb}]}}"#);
    one.add_manifest("a", "v1", INDEX, bomb.as_bytes());
    refused(&project, &from, "oci:out:v1", "at most 2048 are read");
    // An entry that is another size than it says.
    let text = manifest(b"layer", None);
    one.add_manifest("a", &name(&text), MANIFEST, text.as_bytes());
    let short = index(&[&text]).replace(&format!("\"size\":{}", text.len()), "\"size\":7");
    one.add_manifest("a", "v1", INDEX, short.as_bytes());
    refused(&project, &from, "oci:out:v1", "described as 7");
    assert!(!project.exists("out"), "nothing was moved, nothing was made");
}
