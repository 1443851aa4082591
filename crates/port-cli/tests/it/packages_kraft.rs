//! `port packages` on what kraft left in its directory.

use std::fs;
use std::path::PathBuf;

use port_content::hashing::digest_of;
use port_testkit::project::Project;
use port_testkit::registry::Registry;
use serde_json::Value;

use crate::packages::{
    KRAFT, TARGET, blobs, document, index_of, json, pack, pack_with, packages, project, text,
};

/// Makes the index that a link leads to, as kraft leaves it.
fn kraft_writes(project: &Project, path: &str, index: &Value) -> PathBuf {
    let bytes = serde_json::to_vec(index).unwrap();
    let root = project.path().join(KRAFT);
    let blob = root.join("digests/sha256").join(digest_of(&bytes).hex());
    fs::write(&blob, bytes).unwrap();
    let link = root.join("indexes").join(path);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    // kraft's links are absolute.
    std::os::unix::fs::symlink(&blob, &link).unwrap();
    link
}

#[test]
fn c_10_what_kraft_saved_without_its_registry_is_found_and_moved() {
    let project = project();
    pack(&project, "hello", &[]);
    let root = project.path().join(KRAFT).join("indexes");
    fs::create_dir_all(root.join("hello")).unwrap();
    fs::rename(root.join("unikraft.org/hello/latest"), root.join("hello/moved")).unwrap();
    fs::remove_file(root.join("hello/moved")).unwrap();
    let mut index: Value = Value::Null;
    for name in blobs(&project) {
        let document =
            serde_json::from_slice::<Value>(&project.read(&format!("{KRAFT}/digests/sha256/{name}")));
        if let Ok(document) = document.map(|document| document["manifests"].is_array().then_some(document)) {
            index = document.unwrap_or(index);
        }
    }
    index["annotations"]["io.containerd.image.name"] = "hello:latest".into();
    kraft_writes(&project, "hello/latest", &index);
    assert_eq!(packages(&project, &["list"])[0]["name"], "unikraft.org/hello");
    let ran = pack_with(&project, "hello", &[&TARGET[..], &["--strategy", "exit"]].concat());
    assert!(ran.code == 1 && ran.stderr.contains("exists with 1 manifests"), "{ran}");
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];
    json(&pack_with(&project, "hello", &fc));
    assert_eq!(packages(&project, &["list"]).as_array().unwrap().len(), 2, "one name, both targets");
    assert!(!project.exists(&format!("{KRAFT}/indexes/hello")));
}

#[test]
fn c_11_a_registry_with_a_port_is_told_from_a_repository() {
    let project = project();
    pack(&project, "127.0.0.1:5000/x", &[]);
    assert_eq!(packages(&project, &["list"])[0]["name"], "127.0.0.1:5000/x");
    // kraft's directory has one place for both.
    let ran = pack_with(&project, "127.0.0.1/5000/x", &TARGET);
    assert!(ran.code == 1 && ran.stderr.contains("is the package `127.0.0.1:5000/x:latest`"), "{ran}");
    assert_eq!(project.port(&["packages", "info", "127.0.0.1/5000/x"]).code, 5);
    packages(&project, &["info", "127.0.0.1:5000/x"]);
}

#[test]
fn an_index_that_kraft_rewrote_in_place_counts_as_it_is() {
    let project = project();
    pack(&project, "hello", &["--kconfig", "kconfig"]);
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];
    json(&pack_with(&project, "hello", &fc));
    let link = project.path().join(KRAFT).join("indexes/unikraft.org/hello/latest");
    let mut index: Value = serde_json::from_slice(&fs::read(&link).unwrap()).unwrap();
    index["manifests"].as_array_mut().unwrap().remove(0);
    fs::write(&link, serde_json::to_vec(&index).unwrap()).unwrap();
    assert_eq!(packages(&project, &["list"]).as_array().unwrap().len(), 1);
    let before = blobs(&project).len();
    packages(&project, &["remove", "hello"]);
    assert_eq!(blobs(&project).len(), before - 4, "its index goes by the name that its blob has");
}

/// Writes a package as kraft packs it: with a time, its features in no order, its links absolute. Returns its manifest.
fn kraft_packs(project: &Project, layer: &str) -> String {
    let digests = project.path().join(KRAFT).join("digests/sha256");
    let blob = |text: &str| {
        let digest = digest_of(text.as_bytes());
        fs::write(digests.join(digest.hex()), text).unwrap();
        (digest.to_string(), text.len())
    };
    let platform = r#""architecture":"x86_64","os":"qemu","os.version":"0.16.3","os.features":["CONFIG_Z=y","CONFIG_A=\"a\u003cb\""]"#;
    let names = r#""io.containerd.image.name":"unikraft.org/hello:latest","org.opencontainers.image.created":"2024-05-01T00:00:00Z","org.opencontainers.image.ref.name":"unikraft.org/hello""#;
    let marks = r#""org.unikraft.image.name":"unikraft.org/hello","org.unikraft.kernel.version":"0.16.3","sh.kraftkit.version":"0.8.6""#;
    let (config, config_size) = blob(&format!(
        r#"{{{platform},"config":{{"Cmd":["/app"]}},"rootfs":{{"type":"layers","diff_ids":["{layer}"]}}}}"#
    ));
    let manifest_text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{config_size},"platform":{{{platform}}}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":2048,"annotations":{{"org.unikraft.kernel.image":"/unikraft/bin/kernel"}}}}],"annotations":{{{names},{marks}}}}}"#
    );
    let (manifest, size) = blob(&manifest_text);
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{manifest}","size":{size},"annotations":{{{names},{marks}}},"platform":{{{platform}}}}}],"annotations":{{{names},"sh.kraftkit.version":"0.8.6"}}}}"#
    );
    let (index, _) = blob(&index);
    let link = project.path().join(KRAFT).join("indexes/unikraft.org/hello/latest");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(digests.join(index.strip_prefix("sha256:").unwrap()), link).unwrap();
    manifest
}

#[test]
fn ku_15_what_kraft_packed_is_listed_unpacked_tagged_and_published_as_it_is() {
    let (project, registry) = (project(), Registry::start());
    let layer = text(&pack(&project, "other", &[])["layers"][0]["digest"]).to_owned();
    let manifest = kraft_packs(&project, &layer);
    assert_eq!(packages(&project, &["list"]).as_array().unwrap().len(), 2);
    let info = packages(&project, &["info", "hello", "--kconfig", "CONFIG_Z=y"]);
    let target = &info["targets"][0];
    assert!(target["canonical_config"] == true && target["kconfig"]["CONFIG_A"] == "\"a<b\"", "{info:#}");
    packages(&project, &["unpack", "hello", "out"]);
    assert_eq!(project.read("out/unikraft/bin/kernel"), b"the kernel");
    // Another target beside it leaves its entry to the byte.
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];
    let before = index_of(&project, "unikraft.org/hello/latest");
    json(&pack_with(&project, "hello", &fc));
    assert_eq!(index_of(&project, "unikraft.org/hello/latest")["manifests"][0], before["manifests"][0]);
    // Under another name its config and layer are the same, and so they are published.
    let name = format!("{}/team/hello:1", registry.host());
    let tagged = packages(&project, &["retag", "hello", &name, "--platform", "qemu"]);
    packages(&project, &["push", &name, "--plain-http"]);
    let published = registry.manifest("team/hello", text(&tagged["manifests"][0])).unwrap();
    let published: Value = serde_json::from_slice(&published).unwrap();
    let packed = document(&project, &manifest.into());
    assert_eq!((&published["config"], &published["layers"]), (&packed["config"], &packed["layers"]));
    assert_eq!(published["annotations"]["org.opencontainers.image.created"], "2024-05-01T00:00:00Z");
    // The same target, packed by Port with its features in their order, takes its place.
    project.write("same", "CONFIG_A=\"a<b\"\nCONFIG_Z=y\n");
    let words = [&TARGET[..], &["--kconfig", "same", "--kernel-version", "0.16.3"]].concat();
    let again = json(&pack_with(&project, "hello", &words));
    assert_eq!(again["replaced"], serde_json::json!([before["manifests"][0]["digest"]]));
}

/// An index as kraft leaves it that found these manifests again: the digest's length is their size.
fn as_kraft_merges(index: &Value) -> Vec<u8> {
    let mut index = index.clone();
    let entries = index["manifests"].as_array_mut().unwrap();
    let found_again = entries.len() - 1;
    entries[..found_again].iter_mut().for_each(|entry| entry["size"] = 32.into());
    serde_json::to_vec(&index).unwrap()
}

fn sizes(index: &Value) -> Vec<u64> {
    index["manifests"].as_array().unwrap().iter().map(|entry| entry["size"].as_u64().unwrap()).collect()
}

#[test]
fn ku_10_a_package_of_several_targets_that_kraft_merged_is_read_and_gets_right_sizes() {
    let project = project();
    pack(&project, "hello", &[]);
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];
    json(&pack_with(&project, "hello", &fc));
    let right = index_of(&project, "unikraft.org/hello/latest");
    let link = project.path().join(KRAFT).join("indexes/unikraft.org/hello/latest");
    fs::write(&link, as_kraft_merges(&right)).unwrap();
    let list = packages(&project, &["list"]);
    assert!(list.as_array().unwrap().iter().all(|row| row["bytes"].is_u64()), "{list}");
    packages(&project, &["unpack", "hello", "out", "--platform", "qemu"]);
    assert_eq!(project.read("out/unikraft/bin/kernel"), b"the kernel");
    packages(&project, &["retag", "hello", "hello:2"]);
    let xen = ["--kernel", "other", "--architecture", "x86_64", "--platform", "xen"];
    json(&pack_with(&project, "hello", &xen));
    let after = index_of(&project, "unikraft.org/hello/latest");
    assert_eq!(sizes(&after)[..2], sizes(&right), "{after}");
    // Others still need it: nothing was taken for damaged and left, and nothing went that is needed.
    packages(&project, &["remove", "hello"]);
    packages(&project, &["unpack", "hello:2", "out2", "--platform", "qemu"]);
}

#[test]
fn ku_10_a_package_that_kraft_merged_and_published_is_pulled_and_mended_by_the_next_push() {
    let (here, registry, there) = (project(), Registry::start(), project());
    let name = format!("{}/team/hello:1", registry.host());
    pack(&here, &name, &[]);
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];
    json(&pack_with(&here, &name, &fc));
    packages(&here, &["push", &name, "--plain-http"]);
    let remote = || serde_json::from_slice::<Value>(&registry.manifest("team/hello", "1").unwrap()).unwrap();
    let right = remote();
    registry.add_manifest("team/hello", "1", text(&right["mediaType"]), &as_kraft_merges(&right));
    assert_eq!(sizes(&remote())[0], 32);
    let pulled = packages(&there, &["pull", &name, "--plain-http"]);
    assert_eq!(pulled["targets"].as_array().unwrap().len(), 2);
    // Once more, with the manifests here.
    packages(&there, &["pull", &name, "--plain-http"]);
    let place = format!("{}/team/hello/1", registry.host().replace(':', "/"));
    assert_eq!(sizes(&index_of(&there, &place)), sizes(&right));
    packages(&there, &["push", &name, "--plain-http"]);
    assert_eq!(remote(), right, "its manifests are the same");
    // Another wrong size is none of kraft's.
    let mut lying = right.clone();
    lying["manifests"][0]["size"] = 33.into();
    registry.add_manifest("team/hello", "1", text(&right["mediaType"]), &serde_json::to_vec(&lying).unwrap());
    let ran = project().port(&["packages", "pull", &name, "--plain-http"]);
    assert!(ran.code == 1 && ran.stderr.contains("expected 33 bytes"), "{ran}");
}
