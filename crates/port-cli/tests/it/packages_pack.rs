//! `port packages pack`: layers, documents, strategies, originals, and packers that meet or are killed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::packages::{
    KCONFIG, KRAFT, TARGET, blob, blobs, document, features, index_of, json, pack, pack_with, pack_words,
    packages, project, text,
};

#[test]
fn k_2_k_10_k_11_k_20_k_44_ku_16_ku_17_a_package_lies_where_kraft_looks() {
    let project = project();
    let packed = pack(&project, "hello", &["--initrd", "initrd"]);
    let runtime = fs::metadata(project.path().join(KRAFT).parent().unwrap()).unwrap();
    assert_eq!(runtime.permissions().mode() & 0o7777, 0o2775);
    let link = project.path().join(KRAFT).join("indexes/unikraft.org/hello/latest");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let index = text(&packed["index"]).strip_prefix("sha256:").unwrap();
    assert!(fs::canonicalize(&link).unwrap().ends_with(Path::new("digests/sha256").join(index)));
    let layers = packed["layers"].as_array().unwrap();
    let expected = [&packed["index"], &packed["manifest"], &packed["config"]].into_iter();
    let expected = expected.chain(layers.iter().map(|layer| &layer["digest"]));
    let expected = expected.map(|digest| text(digest).strip_prefix("sha256:").unwrap().to_owned());
    assert_eq!(blobs(&project), expected.collect(), "nothing else is left");
    // What `Project` sets aside is the variable; with it, the directory is another.
    let mut command = project.command(&pack_words("hello", &TARGET));
    let ran = project.ran(command.env("KRAFTKIT_RUNTIME_DIR", "elsewhere").output().unwrap());
    assert_eq!(json(&ran)["reference"], "unikraft.org/hello:latest");
    assert!(project.exists("elsewhere/oci/indexes/unikraft.org/hello/latest"));
}

/// The one entry of a layer: its name and content.
fn entry(layer: &[u8]) -> (String, Vec<u8>) {
    let name = layer[..100].split(|byte| *byte == 0).next().unwrap();
    let size = usize::from_str_radix(std::str::from_utf8(&layer[124..135]).unwrap(), 8).unwrap();
    let rest = &layer[512 + size.next_multiple_of(512)..];
    assert!(rest.len() == 1024 && rest.iter().all(|byte| *byte == 0), "one entry, then the end");
    (String::from_utf8(name.to_vec()).unwrap(), layer[512..512 + size].to_vec())
}

#[test]
fn k_12_k_13_k_16_k_17_k_19_k_21_c_9_layers_are_kernel_debug_kernel_initrd() {
    let project = project();
    let packed = pack(&project, "hello", &["--initrd", "initrd", "--kernel-dbg", "kernel.dbg"]);
    let manifest = document(&project, &packed["manifest"]);
    let layers = manifest["layers"].as_array().unwrap();
    let entries: Vec<_> = layers.iter().map(|layer| entry(&blob(&project, &layer["digest"]))).collect();
    let expected = [
        ("unikraft/bin/kernel", "the kernel"),
        ("unikraft/bin/kernel.dbg", "the kernel, with names"),
        ("unikraft/bin/initrd", "the initrd"),
    ];
    let expected = expected.map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()));
    assert_eq!(entries, expected);
    assert_eq!(layers[0]["annotations"]["org.unikraft.kernel.image"], "/unikraft/bin/kernel");
    assert!(layers[1].get("annotations").is_none());
    assert_eq!(layers[2]["annotations"]["org.unikraft.kernel.initrd"], "/unikraft/bin/initrd");
    let config = document(&project, &packed["config"]);
    let digests: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().iter().collect::<Vec<_>>(), digests);
    // A debug kernel is packed only when it is asked for.
    assert_eq!(pack(&project, "plain", &[])["layers"].as_array().unwrap().len(), 1);
}

#[test]
fn k_3_k_73_what_is_given_is_recorded_and_the_host_is_not() {
    let project = project();
    let more = ["--kconfig", "kconfig", "--cmd", "/app", "a<b", "--cmd=-v", "--env", "A=1", "-e", "HOME"];
    let packed = pack(&project, "hello:0.1", &more);
    assert_eq!(packed["features"], 2);
    let config = document(&project, &packed["config"]);
    let home = format!("HOME={}", project.path().display());
    assert_eq!(config["config"], serde_json::json!({ "Env": ["A=1", home], "Cmd": ["/app", "a<b", "-v"] }));
    assert_eq!((&config["os"], &config["architecture"]), (&"qemu".into(), &"x86_64".into()));
    assert_eq!(config["os.version"], "0.16.3~abc");
    let manifest = document(&project, &packed["manifest"]);
    assert_eq!(manifest["annotations"]["org.unikraft.kernel.version"], "0.16.3~abc");
    assert_eq!(manifest["annotations"]["org.unikraft.image.name"], "unikraft.org/hello");
    assert_eq!(manifest["config"]["platform"]["os.features"], config["os.features"]);
    assert_eq!(
        features(&project, "hello:0.1"),
        ["CONFIG_LIBUKDEBUG=y", "CONFIG_UK_FULLVERSION=\"0.16.3~abc\""]
    );
    let given = ["--kconfig", "kconfig", "--no-kconfig", "--kernel-version", "9"];
    let packed = pack(&project, "hello:0.2", &given);
    assert_eq!(packed["features"], 0);
    assert_eq!(document(&project, &packed["config"])["os.version"], "9");
}

#[test]
fn k_31_k_32_k_35_c_14_c_17_the_strategies() {
    let project = project();
    let first = pack(&project, "hello", &["--strategy", "exit"]);
    let before = blobs(&project);
    for word in ["exit", "abort"] {
        let words = [&TARGET[2..], &["--kernel", "other", "--strategy", word]].concat();
        let ran = pack_with(&project, "hello", &words);
        assert!(ran.code == 1 && ran.stderr.contains("exists with 1 manifests: expected none"), "{ran}");
    }
    assert_eq!(blobs(&project), before, "a conflict is found before anything is written");
    let fc = ["--kernel", "other", "--architecture", "x86-64", "--platform", "firecracker"];
    json(&pack_with(&project, "hello", &fc));
    assert_eq!(index_of(&project, "unikraft.org/hello/latest")["manifests"].as_array().unwrap().len(), 2);
    let fresh = [&fc[..], &["--strategy", "overwrite"]].concat();
    let fresh = json(&pack_with(&project, "hello", &fresh));
    let index = index_of(&project, "unikraft.org/hello/latest");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(index["manifests"][0]["digest"], fresh["manifest"]);
    assert_eq!(blobs(&project).len(), 4, "what was overwritten is gone with all that was only its own");
    assert_ne!(first["manifest"], fresh["manifest"]);
    let ran = pack_with(&project, "hello", &[&TARGET[..], &["--strategy", "perhaps"]].concat());
    assert_eq!(ran.code, 2, "{ran}");
}

#[test]
fn k_37_k_40_k_41_k_43_c_8_the_same_target_with_its_configuration_is_replaced() {
    let project = project();
    let first = pack(&project, "hello", &["--kconfig", "kconfig"]);
    project.write("kernel", "a newer kernel");
    project.write("turned", KCONFIG.lines().rev().map(|line| format!("{line}\n")).collect::<String>());
    let second = pack(&project, "hello", &["--kconfig", "turned"]);
    assert_eq!(second["replaced"], serde_json::json!([first["manifest"]]));
    let index = index_of(&project, "unikraft.org/hello/latest");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    // Without the features it is another target, beside it.
    pack(&project, "hello", &[]);
    assert_eq!(index_of(&project, "unikraft.org/hello/latest")["manifests"].as_array().unwrap().len(), 2);
    let again = pack(&project, "hello", &[]);
    assert_eq!(again["replaced"], serde_json::json!([]), "the same input gives the same package");
}

#[test]
fn k_4_k_15_k_22_c_15_c_16_a_package_is_made_from_another_and_leaves_it() {
    let project = project();
    let given = ["--kconfig", "kconfig", "--initrd", "initrd", "--cmd", "/app", "--env", "A=1"];
    let first = pack(&project, "hello", &given);
    let second = json(&pack_with(&project, "mine:1", &["--from", "hello", "--env", "B=2"]));
    assert_eq!(second["layers"][0]["digest"], first["layers"][0]["digest"]);
    assert_eq!(second["layers"][1]["digest"], first["layers"][1]["digest"]);
    let config = document(&project, &second["config"]);
    assert_eq!(config["config"], serde_json::json!({ "Env": ["A=1", "B=2"], "Cmd": ["/app"] }));
    assert_eq!(features(&project, "mine:1"), features(&project, "hello"));
    // Made from itself, again and again, it stays what it is.
    let third = json(&pack_with(&project, "mine:1", &["--from", "mine:1"]));
    assert_eq!(third["manifest"], second["manifest"]);
    let fourth = json(&pack_with(&project, "mine:1", &["--from", "mine:1", "--strategy", "overwrite"]));
    assert_eq!(fourth["manifest"], second["manifest"]);
    assert_eq!(document(&project, &first["config"])["config"]["Env"], serde_json::json!(["A=1"]));
    // Another configuration takes the place of the original's, and does not join it (C-16).
    project.write("less", "CONFIG_LIBUKDEBUG=n\n");
    json(&pack_with(&project, "mine:4", &["--from", "hello", "--kconfig", "less"]));
    assert_eq!(features(&project, "mine:4"), ["CONFIG_LIBUKDEBUG=n"]);
    json(&pack_with(&project, "mine:5", &["--from", "hello", "--no-kconfig"]));
    assert!(features(&project, "mine:5").is_empty());
    // Another initrd takes the place of the original's; a kernel of its own leaves the original's layers out.
    project.write("initrd", "another initrd");
    let other = json(&pack_with(&project, "mine:2", &["--from", "hello", "--initrd", "initrd"]));
    assert_eq!(other["layers"].as_array().unwrap().len(), 2);
    assert_ne!(other["layers"][1]["digest"], first["layers"][1]["digest"]);
    let other = json(&pack_with(&project, "mine:3", &["--from", "hello", "--kernel", "other"]));
    assert_eq!(other["layers"].as_array().unwrap().len(), 1);
    assert_eq!((&other["platform"], &other["architecture"]), (&"qemu".into(), &"x86_64".into()));
}

#[test]
fn k_5_k_6_ku_29_what_is_missing_is_named() {
    let project = project();
    let check = |words: &[&str], code: i32, expected: &str| {
        let ran = project.port(&[&["packages"], words].concat());
        assert!(ran.code == code && ran.stderr.contains(expected), "{words:?}\n{ran}");
    };
    check(&["pack", "--kernel", "kernel"], 2, "--name");
    check(&["pack", "--name", "", "--kernel", "kernel"], 2, "a package needs a name");
    check(&["pack", "--name", "A/../b", "--kernel", "kernel"], 2, "is not a package name");
    check(&["pack", "--name", "x"], 2, "needs a kernel: expected a file (`--kernel`)");
    check(&["pack", "--name", "x", "--kernel", "kernel"], 2, "needs an architecture");
    check(&["pack", "--name", "x", "--kernel", "kernel", "--architecture", "arm64"], 2, "needs a platform");
    check(&[&["pack", "--name", "x", "--kernel"], &["absent"][..], &TARGET[2..]].concat(), 5, "`absent`");
    check(&[&["pack", "--name", "x", "--env", "NOT_SET"], &TARGET[..]].concat(), 2, "`--env NOT_SET`");
    check(&[&["pack", "--name", "x", "--kconfig", "kernel"], &TARGET[..]].concat(), 2, "line 1");
    check(&["info", "absent"], 5, "there is no package `unikraft.org/absent:latest`");
    check(&["remove", "absent"], 5, "there is no package");
    assert!(!project.exists(KRAFT) || blobs(&project).is_empty(), "nothing was written");
}

#[test]
fn two_packers_of_one_name_lose_nothing() {
    let project = project();
    let targets =
        [("qemu", "x86_64"), ("fc", "x86_64"), ("xen", "x86_64"), ("qemu", "arm64"), ("fc", "arm64")];
    let packers: Vec<_> = targets
        .iter()
        .map(|(platform, architecture)| {
            let target = ["--kernel", "kernel", "--architecture", architecture, "--platform", platform];
            project.command(&pack_words("hello", &target)).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for packer in packers {
        assert!(packer.wait_with_output().unwrap().status.success());
    }
    assert_eq!(packages(&project, &["list"]).as_array().unwrap().len(), targets.len());
    assert_eq!(blobs(&project).len(), 1 + 2 * targets.len() + 1, "one layer, their documents, one index");
}

#[test]
fn a_packer_that_is_killed_leaves_the_old_package_and_the_next_one_succeeds() {
    let project = project();
    let first = pack(&project, "hello", &[]);
    project.write("kernel", "a newer kernel");
    for point in ["atomic.before-sync", "atomic.before-rename", "atomic.after-rename"] {
        let mut command = project.command(&pack_words("hello", &TARGET));
        let killed = command.env("PORT_FAILPOINT", format!("{point}=kill")).output().unwrap();
        assert!(!killed.status.success());
        assert_eq!(packages(&project, &["info", "hello"])["index"], first["index"], "{point}");
    }
    let second = pack(&project, "hello", &[]);
    assert_eq!(second["replaced"], serde_json::json!([first["manifest"]]));
    packages(&project, &["unpack", "hello", "out"]);
    assert_eq!(project.read("out/unikraft/bin/kernel"), b"a newer kernel");
}
