//! What a bundle's manifest looks like and how it is read.

use super::*;

pub(crate) fn sample(directory: &Path) -> BaseImage {
    BaseImage {
        preset: Preset::Latest,
        arch: Architecture::X86_64,
        ci_version: "v1.15".to_owned(),
        firecracker_version: "v1.15.1".to_owned(),
        bundle_id: "latest-a".parse().unwrap(),
        bundle_dir: directory.to_owned(),
        kernel_image_path: directory.join("vmlinux-6.1.155"),
        rootfs_path: directory.join("ubuntu-24.04.squashfs"),
        rootfs_type: RootfsType::Squashfs,
        rootfs_is_read_only: true,
        boot_args: "console=ttyS0".to_owned(),
        source: Source::FirecrackerCi {
            bucket_url: "https://bucket".to_owned(),
            kernel_key: "k".to_owned(),
            rootfs_key: "r".to_owned(),
        },
        checksums: PerFile { kernel: Some("aa".to_owned()), rootfs: Some("bb".to_owned()) },
        sizes: PerFile { kernel: Some(1), rootfs: Some(2) },
        created_at: "2026-01-31T12:00:00.000Z".to_owned(),
        last_accessed_at: "2026-01-31T12:00:00.000Z".to_owned(),
    }
}

#[test]
fn s_11_s_20_s_42_s_98_s_99_the_manifest_has_these_fields_and_this_form() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("not/there/yet");
    let bundle = sample(Path::new("/cache/latest-a"));
    bundle.write(&directory).unwrap();
    let text = fs::read_to_string(&directory.join("manifest.json"), limit::RECORD).unwrap();
    let expected = r#"{
  "preset": "latest",
  "arch": "x86_64",
  "ciVersion": "v1.15",
  "firecrackerVersion": "v1.15.1",
  "bundleId": "latest-a",
  "bundleDir": "/cache/latest-a",
  "kernelImagePath": "/cache/latest-a/vmlinux-6.1.155",
  "rootfsPath": "/cache/latest-a/ubuntu-24.04.squashfs",
  "rootfsType": "squashfs",
  "rootfsIsReadOnly": true,
  "bootArgs": "console=ttyS0",
  "source": {
    "type": "firecracker-ci",
    "bucketUrl": "https://bucket",
    "kernelKey": "k",
    "rootfsKey": "r"
  },
  "checksums": {
    "kernel": "aa",
    "rootfs": "bb"
  },
  "sizes": {
    "kernel": 1,
    "rootfs": 2
  },
  "createdAt": "2026-01-31T12:00:00.000Z",
  "lastAccessedAt": "2026-01-31T12:00:00.000Z"
}
"#;
    assert_eq!(text, expected);
}

#[test]
fn su_8_s_67_sources_are_told_apart_by_their_type() {
    let path = Some(PathBuf::from("/m.json"));
    let hosted = Source::HostedManifest {
        manifest_url: None,
        manifest_path: path,
        kernel_url: Some("https://host/vmlinux".to_owned()),
        rootfs_url: None,
        kernel_source_path: None,
        rootfs_source_path: Some(PathBuf::from("/srv/rootfs.ext4")),
    };
    let written = serde_json::to_value(&hosted).unwrap();
    let expected = serde_json::json!({
        "type": "hosted-manifest",
        "manifestPath": "/m.json",
        "kernelUrl": "https://host/vmlinux",
        "rootfsSourcePath": "/srv/rootfs.ext4",
    });
    assert_eq!(written, expected);
    assert_eq!(serde_json::from_value::<Source>(written).unwrap(), hosted);
    let foreign = serde_json::json!({ "type": "torrent" });
    assert!(serde_json::from_value::<Source>(foreign).is_err());
}

#[test]
fn s_32_c_31_a_bundle_that_was_moved_has_its_files_where_it_is_found() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("new-name");
    sample(Path::new("/elsewhere/old-name")).write(&directory).unwrap();
    let found = BaseImage::read(&directory).unwrap();
    // Locks are by directory: two with one id would have one lock.
    let expected = BaseImage { bundle_id: "new-name".parse().unwrap(), ..sample(&directory) };
    assert_eq!(found, expected);
    assert!(found.is_contained());
}

#[test]
fn s_93_files_outside_the_bundle_are_noticed() {
    let root = tempfile::tempdir().unwrap();
    let recorded = sample(Path::new("/cache/a"));
    for (path, contained) in [
        ("/cache/a/vmlinux", true),
        ("/cache/a/b/../vmlinux", true),
        ("vmlinux", true),
        ("/cache/a", false),
        ("/cache/a/../b/vmlinux", false),
        ("/etc/passwd", false),
        ("../vmlinux", false),
    ] {
        let recorded = BaseImage { kernel_image_path: PathBuf::from(path), ..recorded.clone() };
        recorded.write(root.path()).unwrap();
        assert_eq!(BaseImage::read(root.path()).unwrap().is_contained(), contained, "{path}");
    }
}

#[test]
fn s_27_s_92_what_is_no_manifest_is_no_bundle() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(BaseImage::read(root.path()), None);
    for text in ["", "{", "[]", "{}", "\u{fffd}", r#"{"preset":"latest"}"#] {
        atomic::write(&root.path().join(MANIFEST_NAME), text.as_bytes()).unwrap();
        assert_eq!(BaseImage::read(root.path()), None, "{text}");
    }
}

#[test]
fn s_13_a_bundle_that_was_used_can_be_read_by_others_as_before() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let bundle = sample(root.path());
    let mode = || fs::metadata(&root.path().join(MANIFEST_NAME)).unwrap().permissions().mode() & 0o777;
    bundle.write(root.path()).unwrap();
    assert_eq!(mode(), 0o644);
    bundle.touch().unwrap();
    assert_eq!(mode(), 0o644, "of root's cache, everybody else would have seen nothing");
}

#[test]
fn s_27_a_manifest_that_cannot_be_used_is_told_from_none() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(BaseImage::try_read(root.path()), Ok(None));
    assert_eq!(BaseImage::try_read(&root.path().join("absent")), Ok(None));
    let (file, path) = (root.path().join("file"), root.path().join(MANIFEST_NAME));
    atomic::write(&file, b"mine").unwrap();
    assert_eq!(BaseImage::try_read(&file), Ok(None), "a file is no bundle");
    for text in ["", "{", "{}"] {
        atomic::write(&path, text.as_bytes()).unwrap();
        assert!(BaseImage::try_read(root.path()).is_err(), "{text}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(&path).unwrap();
    assert!(BaseImage::try_read(root.path()).is_err(), "a directory is no manifest");
}
