//! Bundles from hosted manifests.

use port_base_images::{Network, Outcome, Preset, Request, Source};
use port_content::hashing::digest_of;
use serde_json::{Value, json};

use crate::world::{KERNEL, ROOTFS, World, failure, of, read};

/// A manifest whose files are at the mirror.
fn manifest(world: &World) -> Value {
    let kernel = world.mirror().put_file("vmlinux", KERNEL);
    let rootfs = world.mirror().put_file("rootfs.ext4", ROOTFS);
    json!({
        "schemaVersion": 1,
        "bundleId": "smartvm-minimal-v1-x86_64",
        "name": "smartvm minimal",
        "arch": "x86_64",
        "firecrackerVersion": "v1.15.1",
        "rootfsType": "ext4",
        "kernel": { "url": kernel, "sha256": digest_of(KERNEL).hex(), "sizeBytes": KERNEL.len() },
        "rootfs": { "url": rootfs, "sha256": digest_of(ROOTFS).hex().to_uppercase() },
    })
}

fn publish(world: &World, manifest: &Value) -> Request {
    let url = world.mirror().put_file("m.json", manifest.to_string().as_bytes());
    Request { manifest_url: Some(url), ..Request::default() }
}

#[tokio::test]
async fn s_35_s_62_s_64_s_65_s_67_su_4_a_manifest_from_a_url_is_used_whatever_the_preset() {
    let world = World::new();
    let request = publish(&world, &manifest(&world));
    for preset in [Preset::Latest, Preset::Lts, Preset::Hosted] {
        let bundle = world.bundle(&Request { preset, ..request.clone() }).await;
        assert_eq!(bundle.bundle_id.as_str(), "smartvm-minimal-v1-x86_64");
        assert_eq!((bundle.preset, bundle.ci_version.as_str()), (Preset::Hosted, "hosted"));
        assert_eq!(bundle.boot_args, "console=ttyS0 reboot=k panic=1 pci=off");
        assert_eq!(
            (read(&bundle.kernel_image_path), read(&bundle.rootfs_path)),
            (KERNEL.to_vec(), ROOTFS.to_vec())
        );
        let expected = Source::HostedManifest {
            manifest_url: request.manifest_url.clone(),
            manifest_path: None,
            kernel_url: Some(world.mirror().file_url("vmlinux")),
            rootfs_url: Some(world.mirror().file_url("rootfs.ext4")),
            kernel_source_path: None,
            rootfs_source_path: None,
        };
        assert_eq!(bundle.source, expected);
    }
    assert!(!world.mirror().take_requests().iter().any(|request| request.contains("releases")));
}

#[tokio::test]
async fn s_62_s_63_s_84_c_25_a_manifest_from_a_path_has_its_files_beside_it() {
    let mut world = World::new();
    world.write("base/images/vmlinux", KERNEL);
    world.write("base/rootfs.squashfs", ROOTFS);
    let mut document = manifest(&world);
    document["rootfsType"] = "squashfs".into();
    document["kernel"] = json!({ "path": "images/vmlinux", "sizeBytes": KERNEL.len() });
    document["rootfs"] = json!({ "path": "rootfs.squashfs", "sha256": digest_of(ROOTFS).hex() });
    document["bootArgs"] = "quiet".into();
    let path = world.write("base/m.json", document.to_string().as_bytes());
    world.options.hosted_manifest_path = Some(path.clone());
    world.options.hosted_manifest_url = Some("http://127.0.0.1:1/never-read".to_owned());
    let offline = Request { network: Network::Offline, ..of(Preset::Hosted) };
    let ensured = world.ensure(&offline).await.unwrap();
    assert_eq!(ensured.outcome, Outcome::Prepared, "local files need no network");
    let bundle = ensured.bundle;
    assert_eq!(bundle.boot_args, "quiet", "S-61");
    assert!(bundle.rootfs_is_read_only);
    assert_eq!(
        (read(&bundle.kernel_image_path), read(&bundle.rootfs_path)),
        (KERNEL.to_vec(), ROOTFS.to_vec())
    );
    assert_eq!(read(&world.directory.path().join("base/images/vmlinux")), KERNEL, "copied, not moved");
    let Source::HostedManifest { manifest_path, kernel_source_path, .. } = bundle.source else { panic!() };
    assert_eq!(manifest_path, Some(path));
    assert_eq!(kernel_source_path, Some(world.directory.path().join("base/images/vmlinux")));
}

#[tokio::test]
async fn s_62_s_64_c_27_what_cannot_be_read_is_a_failed_manifest() {
    let world = World::new();
    let missing = Request { manifest_path: Some("/nowhere/m.json".into()), ..Request::default() };
    let at = |name: &str, bytes: &[u8]| {
        let path = world.write(name, bytes);
        Request { manifest_path: Some(path), ..Request::default() }
    };
    let absent = Request { manifest_url: Some(world.mirror().file_url("absent.json")), ..Request::default() };
    for (request, word) in [
        (missing, "/nowhere/m.json"),
        (at("cut.json", b"{"), "JSON"),
        (at("binary.json", b"\xff\xfe"), "UTF-8"),
        (at("empty.json", b""), "JSON"),
        (absent, "404"),
    ] {
        let (code, message) = failure(&world, &request).await;
        assert_eq!(code, "BASE_IMAGE_MANIFEST_FAILED");
        assert!(message.contains(word), "{message}");
    }
}

#[tokio::test]
async fn s_70_s_73_what_is_not_valid_has_a_code_of_its_own() {
    let world = World::new();
    let mut document = manifest(&world);
    document["arch"] = "aarch64".into();
    let (code, message) = failure(&world, &publish(&world, &document)).await;
    assert_eq!(code, "INVALID_BASE_IMAGE_MANIFEST");
    assert!(
        message.contains("aarch64") && message.contains("x86_64") && message.contains("m.json"),
        "{message}"
    );
}

#[tokio::test]
async fn c_20_a_manifest_that_changed_under_one_id_is_noticed() {
    let world = World::new();
    let mut document = manifest(&world);
    let first = world.bundle(&publish(&world, &document)).await;
    let newer = b"hsqs a newer root";
    world.mirror().put_file("rootfs.ext4", newer);
    document["rootfs"]["sha256"] = digest_of(newer).hex().into();
    let ensured = world.ensure(&publish(&world, &document)).await.unwrap();
    assert_eq!((ensured.outcome, &ensured.bundle.bundle_id), (Outcome::Prepared, &first.bundle_id));
    assert_eq!(read(&ensured.bundle.rootfs_path), newer);
    // The kernel is in the store, so only the root came.
    assert!(world.downloads().iter().filter(|request| request.ends_with("/vmlinux")).count() <= 2);
    // A size alone is noticed, too.
    document["kernel"]["sizeBytes"] = 5.into();
    let (code, message) = failure(&world, &publish(&world, &document)).await;
    assert_eq!(code, "BASE_IMAGE_PREPARE_FAILED");
    assert!(message.contains(&format!("expected 5 bytes, found {}", KERNEL.len())), "{message}");
}

#[tokio::test]
async fn c_20_boot_arguments_that_changed_need_no_download() {
    let world = World::new();
    let mut document = manifest(&world);
    world.bundle(&publish(&world, &document)).await;
    document["bootArgs"] = "quiet".into();
    document["rootfsIsReadOnly"] = true.into();
    let request = publish(&world, &document);
    world.downloads();
    let ensured = world.ensure(&request).await.unwrap();
    assert_eq!(ensured.outcome, Outcome::Cached);
    assert_eq!((ensured.bundle.boot_args.as_str(), ensured.bundle.rootfs_is_read_only), ("quiet", true));
    assert_eq!(world.downloads(), ["GET /files/m.json"]);
}
