//! `port packages list`, `info` and `unpack`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::packages::{KRAFT, at_one_time, document, json, pack, pack_with, packages, project, text};

#[test]
fn k_69_ku_31_a_list_has_krafts_columns() {
    let project = project();
    pack(&project, "hello", &["--kconfig", "kconfig", "--initrd", "initrd"]);
    let fc = ["--kernel", "other", "--architecture", "arm64", "--platform", "fc"];
    let other = json(&pack_with(&project, "127.0.0.1:5000/team/hello:1.2", &fc));
    at_one_time(&project);
    insta::assert_snapshot!("packages_list", project.port(&["packages", "list"]));
    let rows = |words: &[&str]| packages(&project, &[&["list"], words].concat()).as_array().unwrap().len();
    assert_eq!(rows(&["--platform", "kvm"]), 1);
    assert_eq!(rows(&["--architecture", "aarch64"]), 1);
    assert_eq!(rows(&["--kconfig", "CONFIG_LIBUKDEBUG=y"]), 1);
    assert_eq!(rows(&["--kconfig", "CONFIG_LIBUKDEBUG=n"]), 0);
    // A layer that is gone: some of it is here, or nothing.
    let layer = text(&other["layers"][0]["digest"]).strip_prefix("sha256:").unwrap().to_owned();
    fs::remove_file(project.path().join(KRAFT).join("digests/sha256").join(layer)).unwrap();
    let rows = packages(&project, &["list", "--platform", "fc"]);
    assert_eq!((&rows[0]["pulled"], &rows[0]["bytes"]), (&Value::Null, &2048.into()));
    assert_eq!(rows[0]["name"], "127.0.0.1:5000/team/hello");
}

#[test]
fn k_62_k_63_k_64_k_65_k_66_k_67_k_68_k_71_what_a_package_is() {
    let project = project();
    let packed = pack(&project, "hello:0.1", &["--kconfig", "kconfig", "--cmd", "/app"]);
    at_one_time(&project);
    insta::assert_snapshot!("packages_info", project.port(&["packages", "info", "hello:0.1"]));
    let info = packages(&project, &["info", "hello:0.1"]);
    assert_eq!(info["name"], "unikraft.org/hello");
    assert_eq!(info["id"], format!("unikraft.org/hello@{}", text(&packed["index"])));
    assert_eq!((&info["version"], &info["format"]), (&"0.1".into(), &"oci".into()));
    assert_eq!(info["image_reference"], "unikraft.org/hello:0.1");
    assert_eq!(info["targets"][0]["display"], "unikraft.org/hello:0.1 (qemu/x86_64)");
    assert_eq!(info["targets"][0]["config"], document(&project, &packed["config"]));
    let manifest = text(&packed["manifest"]);
    let info = packages(&project, &["info", &format!("hello:0.1@{manifest}")]);
    assert_eq!(info["version"], manifest);
    assert_eq!(info["image_reference"], format!("unikraft.org/hello@{manifest}"));
    assert_eq!(packages(&project, &["list"])[0]["type"], "app");
}

#[test]
fn k_56_k_59_a_digest_chooses_a_manifest_or_is_refused_with_both_names() {
    let project = project();
    let first = pack(&project, "hello", &[]);
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];
    json(&pack_with(&project, "hello", &fc));
    let name = format!("hello@{}", text(&first["manifest"]));
    let info = packages(&project, &["info", &name]);
    assert_eq!(info["targets"].as_array().unwrap().len(), 1);
    assert_eq!(info["targets"][0]["platform"], "qemu");
    let layer = text(&first["layers"][0]["digest"]);
    let ran = project.port(&["packages", "info", &format!("hello@{layer}")]);
    assert!(ran.code == 5 && ran.stderr.contains(layer), "{ran}");
    assert!(ran.stderr.contains("the index of `unikraft.org/hello:latest` has no manifest"), "{ran}");
}

#[test]
fn k_77_k_78_k_79_k_80_k_81_a_package_is_unpacked() {
    let project = project();
    pack(&project, "hello", &["--initrd", "initrd", "--cmd", "/app", "--env", "A=1"]);
    let report = packages(&project, &["unpack", "hello", "out"]);
    assert_eq!(report["kernel"], "out/unikraft/bin/kernel");
    assert_eq!(report["initrd"], "out/unikraft/bin/initrd");
    assert_eq!((&report["command"][0], &report["environment"][0]), (&"/app".into(), &"A=1".into()));
    assert_eq!(project.read("out/unikraft/bin/kernel"), b"the kernel");
    assert_eq!(project.read("out/unikraft/bin/initrd"), b"the initrd");
    let mode = fs::metadata(project.path().join("out/unikraft/bin/kernel")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    pack(&project, "plain", &[]);
    assert_eq!(packages(&project, &["unpack", "plain", "plain"])["initrd"], Value::Null);
    // Of several targets one must be meant.
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];
    json(&pack_with(&project, "hello", &fc));
    let ran = project.port(&["packages", "unpack", "hello", "other"]);
    assert!(ran.code == 5 && ran.stderr.contains("expected one target, found qemu/x86_64 ("), "{ran}");
    assert!(!project.exists("other/unikraft"));
    packages(&project, &["unpack", "hello", "fc", "--platform", "fc"]);
    assert_eq!(project.read("fc/unikraft/bin/kernel"), b"another kernel");
}

#[test]
fn k_72_a_package_has_no_tree_of_options() {
    let project = project();
    pack(&project, "hello", &["--kconfig", "kconfig"]);
    for word in ["Config.uk", "=y", ""] {
        let ran = project.port(&["packages", "info", "hello", "--kconfig", word]);
        assert!(ran.code == 2 && ran.stderr.contains("a package has no tree of options"), "{word}: {ran}");
    }
    packages(&project, &["info", "hello", "--kconfig", "CONFIG_LIBUKDEBUG=y"]);
}

#[test]
fn ku_27_ku_30_kraft_s_words_are_understood() {
    let project = project();
    let packed = pack(&project, "hello", &["--initrd", "initrd", "--cmd", "/app"]);
    let kraft = ["-k", "kernel", "-m", "x86_64", "-p", "kvm", "--rootfs", "initrd", "-a", "/app"];
    let long =
        ["--kernel", "kernel", "--arch", "x86_64", "--plat", "qemu", "--rootfs", "initrd", "--args", "/app"];
    for words in [kraft, long] {
        let again = json(
            &project.port(&[&["packages", "pack", "-n", "hello", "--format", "json"], &words[..]].concat()),
        );
        assert_eq!(again["manifest"], packed["manifest"]);
    }
    assert_eq!(
        packages(&project, &["ls", "--arch", "x86_64", "--plat", "qemu"]).as_array().unwrap().len(),
        1
    );
    assert_eq!(
        packages(&project, &["info", "hello", "-m", "x86_64", "-p", "qemu"])["name"],
        "unikraft.org/hello"
    );
    assert_eq!(packages(&project, &["rm", "hello"])["remaining"], 0);
    // A pull's own; nobody answers there.
    let words = ["pull", "127.0.0.1:1/hello", "-m", "x86_64", "-p", "qemu", "-k", "A=b", "-o", "out"];
    let ran = project.port(&[&["packages"], &words[..]].concat());
    assert_eq!(ran.code, 4, "{ran}");
}

#[test]
fn what_others_wrote_into_a_package_drives_no_terminal() {
    let project = project();
    let hostile = [
        "--env",
        "A=\u{1b}]0;title\u{7}\nmanifest  forged",
        "--cmd",
        "\u{9b}2J",
        "--kernel-version",
        "\u{1b}[2J",
    ];
    pack(&project, "hello", &hostile);
    let ran = project.port(&["packages", "info", "hello"]);
    assert!(ran.code == 0 && ran.stdout.contains("A=\\u{1b}]0;title\\u{7}\\nmanifest  forged"), "{ran}");
    for format in ["text", "json"] {
        let ran = project.port(&["packages", "info", "hello", "--format", format]);
        assert!(!ran.stdout.chars().any(|c| c.is_control() && c != '\n'), "{format}: {ran}");
    }
    assert_eq!(packages(&project, &["info", "hello"])["targets"][0]["command"][0], "\u{9b}2J");
}
