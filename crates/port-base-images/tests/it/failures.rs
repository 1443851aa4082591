//! Faults on the way: what they say, and what they leave.

use port_base_images::{CacheUse, Preset, Request};
use port_content::hashing::digest_of;
use port_testkit::mirror::{Fault, Mirror};
use serde_json::json;

use crate::world::{KERNEL, ROOTFS, World, failure, latest, of, read};

const ROOT_KEY: &str = "ubuntu-24.04.squashfs";

/// A root of several parts.
fn large() -> Vec<u8> {
    (0..20_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test]
async fn s_25_s_88_s_89_a_failure_leaves_no_bundle_and_names_id_and_cause() {
    let world = World::new();
    world.mirror().fault(ROOT_KEY, Fault::Status(404));
    let (code, message) = failure(&world, &latest()).await;
    assert_eq!(code, "BASE_IMAGE_PREPARE_FAILED");
    let url = format!("{}/firecracker-ci/v1.15/x86_64/{ROOT_KEY}", world.mirror().bucket_url());
    for part in ["latest-v1.15-x86_64-vmlinux-6.1.155-ubuntu-24.04.squashfs", "the rootfs", &url, "404"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(world.bundles(), Vec::<String>::new());
    world.mirror().heal();
    world.bundle(&latest()).await;
}

#[tokio::test]
async fn a_redirect_that_is_not_followed_is_an_answer_and_the_cache_stands_in_for_none() {
    let world = World::new();
    world.bundle(&latest()).await;
    let loop_ = world.mirror().releases_url();
    world.mirror().fault("/releases/latest", Fault::Redirect(loop_));
    world.mirror().take_requests();
    let (code, message) = failure(&world, &latest()).await;
    assert_eq!(code, "VERSION_FETCH_FAILED");
    assert!(message.contains("more than 5 redirects"), "{message}");
    assert!(world.mirror().take_requests().len() <= 6, "nobody asks again");
}

#[tokio::test]
async fn what_cannot_be_evicted_keeps_nobody_from_another_bundle() {
    let mut world = World::new();
    world.options.max_stored_images = "1".parse().unwrap();
    let first = world.bundle(&latest()).await;
    let lock = world.cache().join(".locks").join(format!("{}.use", first.bundle_id));
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    world.mirror().put_pair("v1.7", "x86_64", KERNEL, ROOTFS);
    let ensured = world.ensure(&of(Preset::Lts)).await.unwrap();
    assert_eq!(ensured.evicted, []);
    assert_eq!(world.bundles().len(), 2);
    let heard = world.heard();
    assert!(
        heard.iter().any(|said| said.contains("beyond the maximum are kept") && said.contains(".use")),
        "{heard:?}"
    );
}

#[tokio::test]
async fn c_21_a_forced_download_that_fails_leaves_the_good_bundle() {
    let world = World::new();
    let made = world.bundle(&latest()).await;
    world.mirror().fault(ROOT_KEY, Fault::Status(404));
    let forced = Request { cache: CacheUse::ForceDownload, ..latest() };
    assert_eq!(failure(&world, &forced).await.0, "BASE_IMAGE_PREPARE_FAILED");
    assert_eq!(world.manager().list(), std::slice::from_ref(&made));
    assert_eq!(read(&made.rootfs_path), ROOTFS);
}

#[tokio::test]
async fn s_25_a_bundle_that_is_no_good_goes_when_it_cannot_be_made_again() {
    let world = World::new();
    let made = world.bundle(&latest()).await;
    std::fs::remove_file(&made.rootfs_path).unwrap();
    std::fs::remove_dir_all(world.cache().join(".store")).unwrap();
    world.mirror().fault(ROOT_KEY, Fault::Status(404));
    assert_eq!(failure(&world, &latest()).await.0, "BASE_IMAGE_PREPARE_FAILED");
    assert_eq!(world.bundles(), Vec::<String>::new());
}

#[tokio::test]
async fn s_85_s_86_size_and_digest_must_match_and_the_error_names_both() {
    let world = World::new();
    let url = world.mirror().put_file("vmlinux", KERNEL);
    world.write("rootfs.ext4", ROOTFS);
    let request = |kernel: serde_json::Value, rootfs: serde_json::Value| {
        let document = json!({
            "schemaVersion": 1, "bundleId": "b", "arch": "x86_64", "firecrackerVersion": "v1.15.1",
            "rootfsType": "ext4", "kernel": kernel, "rootfs": rootfs,
        });
        let path = world.write("m.json", document.to_string().as_bytes());
        Request { manifest_path: Some(path), ..Request::default() }
    };
    let (right, wrong) = (digest_of(KERNEL), digest_of(b"wrong"));
    let (kernel_size, rootfs_size) = (KERNEL.len(), ROOTFS.len());
    let good = json!({ "url": url, "sha256": right.hex() });
    let local = json!({ "path": "rootfs.ext4" });
    for (kernel, rootfs, expected) in [
        (
            json!({ "url": url, "sha256": right.hex(), "sizeBytes": 3 }),
            local.clone(),
            format!("the kernel has another size: expected 3 bytes, found {kernel_size}"),
        ),
        (
            json!({ "url": url, "sha256": wrong.hex().to_uppercase() }),
            local,
            format!("the kernel has another SHA-256: expected {}, found {}", wrong.hex(), right.hex()),
        ),
        (
            good.clone(),
            json!({ "path": "rootfs.ext4", "sizeBytes": 3 }),
            format!("the rootfs has another size: expected 3 bytes, found {rootfs_size}"),
        ),
        (
            good,
            json!({ "path": "rootfs.ext4", "sha256": wrong.hex() }),
            format!(
                "the rootfs has another SHA-256: expected {}, found {}",
                wrong.hex(),
                digest_of(ROOTFS).hex()
            ),
        ),
    ] {
        let (code, message) = failure(&world, &request(kernel, rootfs)).await;
        assert_eq!(code, "BASE_IMAGE_PREPARE_FAILED");
        assert!(message.contains(&expected), "{expected}: {message}");
        assert_eq!(world.bundles(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn s_84_a_local_file_that_is_absent_is_an_error() {
    let world = World::new();
    let document = json!({
        "schemaVersion": 1, "bundleId": "b", "arch": "x86_64", "firecrackerVersion": "v1.15.1",
        "rootfsType": "ext4", "kernel": { "path": "nowhere" }, "rootfs": { "path": "nothing" },
    });
    let path = world.write("m.json", document.to_string().as_bytes());
    let (code, message) = failure(&world, &Request { manifest_path: Some(path), ..Request::default() }).await;
    assert_eq!(code, "BASE_IMAGE_PREPARE_FAILED");
    assert!(message.contains("nowhere"), "{message}");
}

#[tokio::test]
async fn cuts_slow_answers_redirects_and_servers_without_ranges_are_survived() {
    let rootfs = large();
    for fault in [
        Fault::Cut { after: 1_000_000, times: 5 },
        Fault::Third,
        Fault::Slow,
        Fault::Redirect("/files/elsewhere".to_owned()),
        Fault::NoRanges,
    ] {
        let world = World::with(Mirror::of_pair("v1.15.1", "x86_64", KERNEL, &rootfs));
        world.mirror().put_file("elsewhere", &rootfs);
        world.mirror().fault(ROOT_KEY, fault.clone());
        let bundle = world.bundle(&latest()).await;
        assert!(read(&bundle.rootfs_path) == rootfs, "{fault:?}");
        assert_eq!(bundle.checksums.rootfs.as_deref(), Some(digest_of(&rootfs).hex()), "{fault:?}");
    }
}

#[tokio::test]
async fn s_87_s_90_a_download_that_was_cut_is_continued_and_never_seen_half() {
    let rootfs = large();
    let world = World::with(Mirror::of_pair("v1.15.1", "x86_64", KERNEL, &rootfs));
    // Two parts of three arrive, then nothing more.
    world.mirror().fault(ROOT_KEY, Fault::Beyond(17_000_000));
    let error = failure(&world, &latest()).await;
    assert_eq!(error.0, "BASE_IMAGE_PREPARE_FAILED", "{}", error.1);
    assert_eq!(world.bundles(), Vec::<String>::new());
    let partial = port_content::fs::read_dir(&world.cache().join(".store/partial")).unwrap();
    assert!(partial.iter().any(|path| path.extension().is_some_and(|end| end == "parts")), "{partial:?}");
    world.mirror().heal();
    let before = world.mirror().sent();
    let bundle = world.bundle(&latest()).await;
    assert!(read(&bundle.rootfs_path) == rootfs);
    assert!(world.mirror().sent() - before <= 4_000_000, "only the last part comes again");
    let left = port_content::fs::read_dir(&world.cache().join(".store/partial")).unwrap();
    assert_eq!(left, Vec::<std::path::PathBuf>::new(), "nothing is left of it");
}

#[tokio::test]
async fn wrong_bytes_are_never_kept_and_the_next_try_is_clean() {
    let world = World::new();
    let url = world.mirror().put_file("rootfs.ext4", &large());
    let document = json!({
        "schemaVersion": 1, "bundleId": "b", "arch": "x86_64", "firecrackerVersion": "v1.15.1", "rootfsType": "ext4",
        "kernel": { "url": world.mirror().put_file("vmlinux", KERNEL), "sha256": digest_of(KERNEL).hex() },
        "rootfs": { "url": url, "sha256": digest_of(&large()).hex() },
    });
    let path = world.write("m.json", document.to_string().as_bytes());
    let request = Request { manifest_path: Some(path), ..Request::default() };
    world.mirror().fault("rootfs.ext4", Fault::Corrupt);
    let (code, message) = failure(&world, &request).await;
    assert_eq!(code, "BASE_IMAGE_PREPARE_FAILED");
    assert!(message.contains("the rootfs has another SHA-256"), "{message}");
    assert!(!world.manager().store().has(&digest_of(&large())));
    world.mirror().heal();
    let bundle = world.bundle(&request).await;
    assert!(read(&bundle.rootfs_path) == large());
}
