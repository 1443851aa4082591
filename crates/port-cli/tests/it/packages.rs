//! `port packages`: packing, listing, unpacking and removing in kraft's own directory and in Port's store.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use port_content::hashing::digest_of;
use port_testkit::peers;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::Registry;
use serde_json::Value;

/// kraft's directory, where no variable names another.
pub const KRAFT: &str = ".local/share/kraftkit/runtime/oci";
const KCONFIG: &str = "# Unikraft\nCONFIG_UK_APP=\"/home/me/app\"\nCONFIG_UK_BASE=\"/home/me/uk\"\nCONFIG_LIBUKDEBUG=y\nCONFIG_UK_FULLVERSION=\"0.16.3~abc\"\n# CONFIG_X is not set\n";

/// A directory with a kernel and what goes with it.
pub fn project() -> Project {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    for (name, content) in [
        ("kernel", "the kernel"),
        ("other", "another kernel"),
        ("kernel.dbg", "the kernel, with names"),
        ("initrd", "the initrd"),
        ("kconfig", KCONFIG),
    ] {
        let path = project.write(name, content);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    project
}

/// `port packages pack` for qemu/x86_64, with JSON.
pub fn pack_words<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = ["packages", "pack", "--format", "json", "--name", name];
    [&words[..], more].concat()
}

pub const TARGET: [&str; 6] = ["--kernel", "kernel", "--architecture", "x86_64", "--platform", "qemu"];

pub fn pack(project: &Project, name: &str, more: &[&str]) -> Value {
    json(&project.port(&pack_words(name, &[&TARGET, more].concat())))
}

/// Packs whatever these flags say.
pub fn pack_with(project: &Project, name: &str, more: &[&str]) -> Ran {
    project.port(&pack_words(name, more))
}

pub fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// `port packages VERB …`, with JSON.
pub fn packages(project: &Project, words: &[&str]) -> Value {
    json(&project.port(&[&["packages", "--format", "json"], words].concat()))
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A blob of kraft's directory.
fn blob(project: &Project, digest: &Value) -> Vec<u8> {
    let hex = text(digest).strip_prefix("sha256:").unwrap();
    let bytes = project.read(&format!("{KRAFT}/digests/sha256/{hex}"));
    assert_eq!(digest_of(&bytes).hex(), hex);
    bytes
}

fn document(project: &Project, digest: &Value) -> Value {
    serde_json::from_slice(&blob(project, digest)).unwrap()
}

/// The names of all blobs.
pub fn blobs(project: &Project) -> BTreeSet<String> {
    let entries = fs::read_dir(project.path().join(KRAFT).join("digests/sha256")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn features(project: &Project, name: &str) -> Vec<String> {
    let info = packages(project, &["info", name]);
    let kconfig = info["targets"][0]["kconfig"].as_object().unwrap();
    kconfig.iter().map(|(key, value)| format!("{key}={}", text(value))).collect()
}

fn index_of(project: &Project, path: &str) -> Value {
    serde_json::from_slice(&project.read(&format!("{KRAFT}/indexes/{path}"))).unwrap()
}

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

/// Blobs that came here at one time, so that listings are the same every day.
fn at_one_time(project: &Project) {
    for name in blobs(project) {
        let path = project.path().join(KRAFT).join("digests/sha256").join(name);
        fs::File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    }
}

#[test]
fn k_69_k_70_k_86_k_87_k_88_ku_31_a_list_has_krafts_columns() {
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
fn k_89_k_90_k_91_k_92_k_93_c_12_removing_leaves_what_others_need() {
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
fn ku_12_skopeo_reads_a_package_when_it_is_told_the_platform() {
    let Some(skopeo) = peers::tool("skopeo") else { return };
    let project = project();
    let packed = pack(&project, "hello", &["--store", "port"]);
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc", "--store", "port"];
    let other = json(&pack_with(&project, "hello", &fc));
    let source = "oci:.port/store:unikraft.org/hello:latest";
    let run = |words: &[&str]| peers::run(&skopeo, words, project.path());
    assert_eq!(digest_of(&run(&["inspect", "--raw", source])).to_string(), text(&other["index"]));
    for (platform, packed) in [("qemu", &packed), ("fc", &other)] {
        let told = ["--override-os", platform, "--override-arch", "x86_64", "--insecure-policy"];
        let to = format!("dir:by-skopeo-{platform}");
        run(&[&told[..], &["copy", source, &to]].concat());
        let layer = text(&packed["layers"][0]["digest"]).strip_prefix("sha256:").unwrap();
        let copied = project.read(&format!("by-skopeo-{platform}/{layer}"));
        assert_eq!(digest_of(&copied).hex(), layer, "{platform}");
    }
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
