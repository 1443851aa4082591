//! One table per rule of the hosted manifest.

use serde_json::json;

use super::*;

const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF";

fn sample() -> Value {
    json!({
        "schemaVersion": 1,
        "bundleId": "smartvm-minimal-v1-x86_64",
        "name": "smartvm minimal",
        "arch": "x86_64",
        "firecrackerVersion": "v1.15.1",
        "rootfsType": "ext4",
        "kernel": { "url": "https://host/vmlinux", "sha256": SUM, "sizeBytes": 7 },
        "rootfs": { "path": "images/rootfs.ext4" },
    })
}

fn at_path() -> Origin {
    Origin::Path(PathBuf::from("/srv/base/m.json"))
}

fn checked(document: &Value) -> Result<HostedManifest, String> {
    check(document, &at_path(), Architecture::X86_64).map_err(|problem| problem.to_string())
}

/// The sample with one field changed (`/kernel/url`); `null` takes it away.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = sample();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let fields = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        fields.remove(name)
    } else {
        fields.insert(name.to_owned(), value)
    };
    document
}

/// Each value at the pointer is refused with a message that begins so.
fn refused(pointer: &str, values: &[Value], beginning: &str) {
    for value in values {
        let message = checked(&with(pointer, value.clone())).unwrap_err();
        assert!(message.starts_with(beginning), "{pointer} = {value}: {message}");
    }
}

#[test]
fn s_65_su_2_su_3_su_4_a_manifest_becomes_checked_values() {
    let expected = HostedManifest {
        bundle_id: "smartvm-minimal-v1-x86_64".parse().unwrap(),
        firecracker_version: "v1.15.1".to_owned(),
        rootfs_type: RootfsType::Ext4,
        rootfs_is_read_only: false,
        boot_arguments: None,
        kernel: Artifact {
            place: Place::Url("https://host/vmlinux".to_owned()),
            file_name: "vmlinux".to_owned(),
            sha256: Some(Digest::from_sha256_hex(SUM).unwrap()),
            size: Some(7),
        },
        rootfs: Artifact {
            place: Place::Path(PathBuf::from("/srv/base/images/rootfs.ext4")),
            file_name: "rootfs.ext4".to_owned(),
            sha256: None,
            size: None,
        },
    };
    assert_eq!(checked(&sample()), Ok(expected));
    assert!(checked(&json!([])).unwrap_err().contains("no JSON object"));
}

#[test]
fn s_61_s_66_own_boot_arguments_and_read_only_flag() {
    let found = checked(&with("/bootArgs", json!("quiet ro"))).unwrap();
    assert_eq!(found.boot_arguments.as_deref(), Some("quiet ro"));
    refused("/bootArgs", &[json!("a\nb"), json!(1)], "`bootArgs` is");
    for (rootfs_type, flag, expected) in [
        ("ext4", None, false),
        ("squashfs", None, true),
        ("ext4", Some(true), true),
        ("squashfs", Some(false), false),
    ] {
        let mut document = with("/rootfsType", json!(rootfs_type));
        if let Some(flag) = flag {
            document["rootfsIsReadOnly"] = json!(flag);
        }
        assert_eq!(checked(&document).unwrap().rootfs_is_read_only, expected, "{rootfs_type} {flag:?}");
    }
    refused("/rootfsIsReadOnly", &[json!("yes")], "`rootfsIsReadOnly` is `yes`: expected true or false");
}

#[test]
fn s_68_the_schema_version_is_1() {
    refused("/schemaVersion", &[json!(2), json!("1"), json!(0), json!(1.5)], "`schemaVersion` is");
    refused("/schemaVersion", &[Value::Null], "`schemaVersion` is missing: expected 1");
}

#[test]
fn s_69_c_23_the_bundle_id_is_plain() {
    refused(
        "/bundleId",
        &[json!(".."), json!("."), json!(".a"), json!("a/b"), json!("a b")],
        "`bundleId` is not usable",
    );
    refused("/bundleId", &[Value::Null], "`bundleId` is missing");
    refused("/bundleId", &[json!(""), json!(5)], "`bundleId` is `");
}

#[test]
fn s_70_the_architecture_is_the_one_that_was_asked_for() {
    let message = checked(&with("/arch", json!("aarch64"))).unwrap_err();
    assert_eq!(message, "`arch` is `aarch64`: expected `x86_64`, which was asked for");
    refused("/arch", &[Value::Null], "`arch` is missing");
}

#[test]
fn s_71_s_72_version_and_root_type() {
    refused(
        "/firecrackerVersion",
        &[json!("1.15.1"), json!("v1.15"), json!("latest")],
        "`firecrackerVersion` is `",
    );
    refused("/firecrackerVersion", &[Value::Null], "`firecrackerVersion` is missing");
    refused("/rootfsType", &[json!("xfs"), json!("EXT4")], "`rootfsType` is `");
    refused("/rootfsType", &[Value::Null], "`rootfsType` is missing");
}

#[test]
fn s_73_s_74_s_75_both_artifacts_need_one_place_each() {
    for label in ["kernel", "rootfs"] {
        refused(&format!("/{label}"), &[Value::Null, json!("x"), json!([])], &format!("`{label}` is"));
        refused(&format!("/{label}"), &[json!({})], &format!("`{label}` needs a `url` or a `path`"));
        let both = json!({ "url": "https://host/x", "path": "x", "sha256": SUM });
        refused(&format!("/{label}"), &[both], &format!("`{label}` has both `url` and `path`"));
        let scheme = json!({ "url": "file:///etc/passwd", "sha256": SUM });
        refused(&format!("/{label}"), &[scheme], &format!("`{label}.url` is `file:///etc/passwd`"));
    }
}

#[test]
fn s_76_s_77_s_78_checksums_and_sizes() {
    refused("/kernel/sha256", &[Value::Null], "`kernel.sha256` is missing: expected 64 hex digits");
    let long = format!("{SUM}0");
    refused(
        "/kernel/sha256",
        &[json!(long), json!(&SUM[1..]), json!("x".repeat(64)), json!(1)],
        "`kernel.sha256` is `",
    );
    refused("/rootfs/sizeBytes", &[json!(-1), json!(1.5), json!("7")], "`rootfs.sizeBytes` is `");
    assert_eq!(checked(&with("/rootfs/sizeBytes", json!(0))).unwrap().rootfs.size, Some(0));
    let upper = checked(&sample()).unwrap().kernel.sha256.unwrap();
    assert_eq!(upper.hex(), SUM.to_lowercase(), "either case is taken");
}

#[test]
fn s_79_a_file_name_is_a_plain_base_name() {
    let bad = ["", ".", "..", "a/b", "../a", "a b", "ä", "a\u{0}"].map(|name| json!(name));
    refused("/kernel/fileName", &bad, "`kernel.fileName` is `");
    refused("/kernel/fileName", &[json!("a".repeat(201))], "`kernel.fileName` is `aaa");
    assert!(checked(&with("/kernel/fileName", json!("a".repeat(200)))).is_ok());
    let found = checked(&with("/kernel/fileName", json!(".kernel-6_1"))).unwrap();
    assert_eq!(found.kernel.file_name, ".kernel-6_1");
}

#[test]
fn c_22_both_files_have_names_of_their_own() {
    refused("/rootfs/fileName", &[json!("vmlinux")], "`rootfs` has the file name of the kernel, `vmlinux`");
    refused("/rootfs/path", &[json!("vmlinux")], "`rootfs` has the file name of the kernel");
    refused("/rootfs/fileName", &[json!("manifest.json")], "`rootfs` may not be called `manifest.json`");
}

#[test]
fn c_25_paths_are_relative_to_the_manifest_and_not_for_urls() {
    for (path, expected) in [("x", "/srv/base/x"), ("../x", "/srv/base/../x"), ("/abs/x", "/abs/x")] {
        let found = checked(&with("/rootfs/path", json!(path))).unwrap();
        assert_eq!(found.rootfs.place, Place::Path(PathBuf::from(expected)));
    }
    let origin = Origin::Url("https://host/m.json".to_owned());
    let problem = check(&sample(), &origin, Architecture::X86_64).unwrap_err();
    assert_eq!(problem.to_string(), "`rootfs` has a `path`, which a manifest from a URL may not");
}
