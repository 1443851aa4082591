//! `port packages remove` and `retag`, in kraft's directory and in Port's store, also where something is damaged.

use std::fs;

use crate::packages::{
    KRAFT, TARGET, blobs, document, index_of, json, pack, pack_with, packages, project, text,
};

#[test]
fn k_89_k_91_k_92_k_93_c_12_removing_leaves_what_others_need() {
    let project = project();
    let first = pack(&project, "hello", &["--initrd", "initrd"]);
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];
    json(&pack_with(&project, "hello", &fc));
    json(&pack_with(&project, "mine", &["--from", "hello", "--platform", "qemu"]));
    let removed = packages(&project, &["remove", "hello", "--platform", "qemu"]);
    assert_eq!(
        (&removed["removed"], &removed["remaining"]),
        (&serde_json::json!([first["manifest"]]), &1.into())
    );
    let index = index_of(&project, "unikraft.org/hello/latest");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    // The layers are still `mine`'s.
    packages(&project, &["unpack", "mine", "mine-out"]);
    assert_eq!(project.read("mine-out/unikraft/bin/initrd"), b"the initrd");
    // A manifest that is gone already is no error.
    let left = text(&index["manifests"][0]["digest"]).strip_prefix("sha256:").unwrap().to_owned();
    fs::remove_file(project.path().join(KRAFT).join("digests/sha256").join(left)).unwrap();
    assert_eq!(packages(&project, &["remove", "hello"])["remaining"], 0);
    assert!(!project.exists(&format!("{KRAFT}/indexes/unikraft.org/hello")));
    packages(&project, &["remove", "mine"]);
    assert!(!project.exists(&format!("{KRAFT}/indexes/unikraft.org")));
    let rest = blobs(&project).len();
    assert!(rest <= 2, "only what the lost manifest led to may be left: {rest}");
}

#[test]
fn k_94_a_package_gets_another_name_with_the_same_blobs() {
    let project = project();
    let first = pack(&project, "hello", &["--kconfig", "kconfig"]);
    let before = blobs(&project);
    let tagged = packages(&project, &["retag", "hello", "registry.lan:5000/team/hello:2"]);
    assert_eq!(tagged["reference"], "registry.lan:5000/team/hello:2");
    let added: Vec<String> = blobs(&project).difference(&before).cloned().collect();
    assert_eq!(added.len(), 2, "a manifest and an index, no blob: {added:?}");
    let manifest = document(&project, &tagged["manifests"][0]);
    assert_eq!(manifest["config"]["digest"], first["config"]);
    assert_eq!(manifest["annotations"]["io.containerd.image.name"], "registry.lan:5000/team/hello:2");
    assert_eq!(manifest["annotations"]["org.unikraft.image.name"], "registry.lan:5000/team/hello");
    assert_eq!(packages(&project, &["info", "hello"])["targets"][0]["manifest"], first["manifest"]);
    let ran = project.port(&["packages", "retag", "hello", "unikraft.org/hello:latest"]);
    assert!(ran.code == 2 && ran.stderr.contains("both source and destination"), "{ran}");
    let ran =
        project.port(&["packages", "retag", "hello", "registry.lan:5000/team/hello:2", "--strategy", "exit"]);
    assert!(ran.code == 1 && ran.stderr.contains("expected none (strategy `exit`)"), "{ran}");
}

#[test]
fn port_has_packages_in_its_own_store_too() {
    let project = project();
    let flag = ["--store", "port"];
    let packed = pack(&project, "hello", &[&flag[..], &["--initrd", "initrd"]].concat());
    assert!(!project.exists(KRAFT) && project.exists(".port/store/index.json"));
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc", "--store", "port"];
    json(&pack_with(&project, "hello", &fc));
    assert_eq!(packages(&project, &["list", "--store", "port"]).as_array().unwrap().len(), 2);
    packages(&project, &["retag", "hello", "mine", "--store", "port"]);
    packages(&project, &["remove", "hello", "--store", "port"]);
    project.write("port.toml", "");
    json(&project.port(&["store", "gc", "--format", "json"]));
    let info = packages(&project, &["info", "mine", "--store", "port", "--platform", "qemu"]);
    assert_eq!(info["targets"][0]["layers"][0]["digest"], packed["layers"][0]["digest"]);
    packages(&project, &["unpack", "mine", "out", "--store", "port", "--platform", "qemu"]);
    assert_eq!(project.read("out/unikraft/bin/initrd"), b"the initrd");
    assert_eq!(
        json(&project.port(&["store", "verify", "--format", "json"]))["damaged"],
        serde_json::json!([])
    );
}

#[test]
fn a_name_that_cannot_be_read_keeps_every_blob() {
    let project = project();
    pack(&project, "hello", &[]);
    pack(&project, "mine", &["--initrd", "initrd"]);
    let before = blobs(&project);
    let broken = project.path().join(KRAFT).join("indexes/unikraft.org/broken");
    fs::write(&broken, "no index").unwrap();
    let ran = project.port(&["packages", "list"]);
    assert!(ran.code == 0 && ran.stderr.contains("skipped `"), "{ran}");
    let removed = packages(&project, &["remove", "mine"]);
    assert_eq!((&removed["blobs"], blobs(&project)), (&0.into(), before));
    fs::remove_file(broken).unwrap();
    packages(&project, &["unpack", "hello", "out"]);
}

#[test]
fn what_is_damaged_can_be_removed_and_packed_again() {
    let project = project();
    let packed = pack(&project, "hello", &[]);
    let index = project.path().join(KRAFT).join("indexes/unikraft.org/hello/latest");
    // As a kraft that was killed leaves it.
    fs::write(&index, "{\"schemaVersion\":2,").unwrap();
    let ran = pack_with(&project, "hello", &TARGET);
    assert!(ran.code == 1 && ran.stderr.contains("remove the package"), "{ran}");
    assert_eq!(packages(&project, &["remove", "hello"])["remaining"], 0);
    let again = pack(&project, "hello", &[]);
    assert_eq!(again["manifest"], packed["manifest"]);
    let manifest = text(&packed["manifest"]).strip_prefix("sha256:").unwrap();
    fs::write(project.path().join(KRAFT).join("digests/sha256").join(manifest), "half").unwrap();
    let ran = project.port(&["packages", "unpack", "hello", "out"]);
    assert!(ran.code == 1 && ran.stderr.contains("is not what it should be"), "{ran}");
    packages(&project, &["remove", "hello"]);
    pack(&project, "hello", &[]);
    packages(&project, &["unpack", "hello", "out"]);
    assert_eq!(project.read("out/unikraft/bin/kernel"), b"the kernel");
}

#[test]
fn a_name_that_leads_to_no_index_is_told_and_can_be_removed() {
    let project = project();
    pack(&project, "hello", &[]);
    let place = project.path().join(KRAFT).join("indexes/unikraft.org/odd/latest");
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let own = place.display().to_string();
    for (target, is_in_the_way) in [("/nonexistent/index", false), (own.as_str(), true), ("/dev/zero", true)]
    {
        std::os::unix::fs::symlink(target, &place).unwrap();
        let before = blobs(&project);
        let ran = project.port(&["packages", "list"]);
        assert!(ran.code == 0 && ran.stderr.contains("odd/latest`"), "{target}: {ran}");
        assert_eq!(project.port(&["packages", "info", "odd"]).code, if is_in_the_way { 1 } else { 5 });
        packages(&project, &["remove", "odd"]);
        assert!(fs::symlink_metadata(&place).is_err() && blobs(&project) == before, "{target}");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
    }
    assert_eq!(project.port(&["packages", "remove", "odd"]).code, 5, "there is nothing any more");
}

#[test]
fn what_a_kill_left_half_written_goes_after_a_day() {
    let project = project();
    pack(&project, "hello", &[]);
    let digests = project.path().join(KRAFT).join("digests/sha256");
    let (old, new) = (digests.join(".incoming.abcdef.tmp"), digests.join(".incoming.ghijkl.tmp"));
    fs::write(&old, "half").unwrap();
    fs::write(&new, "half").unwrap();
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    fs::File::open(&old).unwrap().set_modified(long_ago).unwrap();
    packages(&project, &["retag", "hello", "hello:2"]);
    assert!(!old.exists() && new.exists(), "the new one may be somebody's");
}

#[test]
fn what_is_damaged_in_port_s_store_can_be_removed_and_packed_again() {
    let (project, flag) = (project(), ["--store", "port"]);
    let packed = pack(&project, "hello", &flag);
    let path = |digest: &serde_json::Value| {
        project.path().join(".port/store/blobs/sha256").join(text(digest).strip_prefix("sha256:").unwrap())
    };
    for damaged in [None, Some("half")] {
        fs::remove_file(path(&packed["index"])).unwrap();
        if let Some(bytes) = damaged {
            fs::write(path(&packed["index"]), bytes).unwrap();
        }
        let ran = pack_with(&project, "hello", &[&TARGET[..], &flag].concat());
        assert!(ran.code == 1 && ran.stderr.contains("remove the package"), "{damaged:?}: {ran}");
        assert!(ran.stderr.contains("the index of `unikraft.org/hello:latest` is not in"), "{ran}");
        let ran = project.port(&["packages", "list", "--store", "port"]);
        assert!(ran.code == 0 && ran.stderr.contains("skipped `"), "{damaged:?}: {ran}");
        assert_eq!(packages(&project, &["remove", "hello", "--store", "port"])["remaining"], 0);
        let again = pack(&project, "hello", &flag);
        assert_eq!(again["manifest"], packed["manifest"]);
    }
    fs::remove_file(path(&packed["manifest"])).unwrap();
    fs::write(path(&packed["manifest"]), "half").unwrap();
    let ran = project.port(&["packages", "unpack", "hello", "out", "--store", "port"]);
    assert!(ran.code == 1 && ran.stderr.contains("is not what it should be"), "{ran}");
    packages(&project, &["remove", "hello", "--store", "port"]);
    pack(&project, "hello", &flag);
    packages(&project, &["unpack", "hello", "out", "--store", "port"]);
    assert_eq!(project.read("out/unikraft/bin/kernel"), b"the kernel");
}

#[test]
fn a_name_of_port_s_store_that_is_somebody_else_s_is_not_taken() {
    let (project, flag) = (project(), ["--store", "port"]);
    let packed = pack(&project, "hello", &flag);
    // As an image that was imported lies there.
    let path = project.path().join(".port/store/index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut entry = index["manifests"][0].clone();
    entry["mediaType"] = "application/vnd.oci.image.manifest.v1+json".into();
    entry["digest"] = packed["manifest"].clone();
    let manifest = text(&packed["manifest"]).strip_prefix("sha256:").unwrap();
    let size = fs::metadata(project.path().join(".port/store/blobs/sha256").join(manifest)).unwrap().len();
    entry["size"] = size.into();
    entry["annotations"]["org.opencontainers.image.ref.name"] = "unikraft.org/other:latest".into();
    index["manifests"].as_array_mut().unwrap().push(entry);
    let before = serde_json::to_vec(&index).unwrap();
    fs::write(&path, &before).unwrap();
    for words in [
        [&["pack", "--name", "other"][..], &TARGET, &flag].concat(),
        [&["retag", "hello", "other"][..], &flag].concat(),
    ] {
        let ran = project.port(&[&["packages"], &words[..]].concat());
        assert!(
            ran.code == 1
                && ran.stderr.contains("is no package: expected none, or an index with kraft's marker"),
            "{ran}"
        );
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    let ran = project.port(&["packages", "remove", "other", "--store", "port"]);
    assert!(ran.code == 5 && fs::read(&path).unwrap() == before, "{ran}");
}
