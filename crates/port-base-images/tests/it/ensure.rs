//! Hits, misses, what is recorded, and what is handed out when nobody answers.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use port_base_images::{CacheUse, Network, Outcome, Preset, Request, Scrutiny};
use port_content::hashing::digest_of;
use port_model::Architecture;
use port_testkit::mirror::{Fault, Mirror};

use crate::world::{KERNEL, ROOTFS, World, failure, latest, of, read};

#[tokio::test]
async fn s_8_the_manager_says_its_directory_and_maximum() {
    let world = World::new();
    let manager = world.manager();
    assert_eq!((manager.cache_directory(), manager.max_stored_images().get()), (world.cache().as_path(), 2));
}

#[tokio::test]
async fn s_10_s_11_s_15_s_16_s_17_s_19_s_20_s_21_s_22_s_23_s_91_a_miss_is_prepared_and_recorded() {
    let world = World::new();
    let bundle = world.bundle(&latest()).await;
    assert_eq!(bundle.bundle_dir, world.cache().join(bundle.bundle_id.as_str()));
    assert_eq!(bundle.kernel_image_path, bundle.bundle_dir.join("vmlinux-6.1.155"));
    assert_eq!(bundle.rootfs_path, bundle.bundle_dir.join("ubuntu-24.04.squashfs"));
    assert_eq!(
        (read(&bundle.kernel_image_path), read(&bundle.rootfs_path)),
        (KERNEL.to_vec(), ROOTFS.to_vec())
    );
    assert_eq!(bundle.checksums.kernel.as_deref(), Some(digest_of(KERNEL).hex()));
    assert_eq!(bundle.checksums.rootfs.as_deref(), Some(digest_of(ROOTFS).hex()));
    assert_eq!(
        (bundle.sizes.kernel, bundle.sizes.rootfs),
        (Some(KERNEL.len() as u64), Some(ROOTFS.len() as u64))
    );
    assert_eq!(bundle.created_at, bundle.last_accessed_at);
    let time = bundle.created_at.as_bytes();
    assert!(time.len() == 24 && time[10] == b'T' && time.ends_with(b"Z"), "{}", bundle.created_at);
    let recorded: port_base_images::BaseImage =
        serde_json::from_slice(&read(&bundle.bundle_dir.join("manifest.json"))).unwrap();
    assert_eq!(recorded, bundle);
    // Kernel then root.
    let downloads = world.downloads();
    let first = |name: &str| downloads.iter().position(|request| request.ends_with(name)).unwrap();
    assert!(first("vmlinux-6.1.155") < first("ubuntu-24.04.squashfs"), "{downloads:?}");
}

#[tokio::test]
async fn s_12_s_13_a_hit_downloads_nothing_and_moves_the_last_access() {
    let world = World::new();
    let made = world.bundle(&latest()).await;
    world.downloads();
    for scrutiny in [Scrutiny::Known, Scrutiny::Paranoid] {
        let ensured = world.ensure(&Request { scrutiny, ..latest() }).await.unwrap();
        assert_eq!(ensured.outcome, Outcome::Cached);
        assert_eq!(ensured.bundle.created_at, made.created_at);
        assert!(ensured.bundle.last_accessed_at > made.last_accessed_at);
        assert_eq!(world.manager().list(), [ensured.bundle]);
    }
    assert_eq!(world.downloads(), Vec::<String>::new());
}

#[tokio::test]
async fn s_14_force_download_skips_the_cache() {
    let world = World::new();
    let made = world.bundle(&latest()).await;
    world.mirror().put("firecracker-ci/v1.15/x86_64/vmlinux-6.1.155", b"another kernel");
    assert_eq!(world.bundle(&latest()).await.checksums, made.checksums);
    let forced = Request { cache: CacheUse::ForceDownload, ..latest() };
    let ensured = world.ensure(&forced).await.unwrap();
    assert_eq!(ensured.outcome, Outcome::Prepared);
    assert_eq!(read(&ensured.bundle.kernel_image_path), b"another kernel");
    assert_eq!(ensured.bundle.checksums.kernel.as_deref(), Some(digest_of(b"another kernel").hex()));
}

#[tokio::test]
async fn s_92_s_94_s_95_s_96_what_is_not_complete_is_a_plain_miss() {
    let world = World::new();
    let bundle = world.bundle(&latest()).await;
    let manifest = bundle.bundle_dir.join("manifest.json");
    let good: serde_json::Value = serde_json::from_slice(&read(&manifest)).unwrap();
    let without = |pointer: &str, name: &str| {
        let mut changed = good.clone();
        changed.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name);
        changed.to_string()
    };
    let mut broken = vec!["{".to_owned(), String::new()];
    for name in ["kernel", "rootfs"] {
        broken.extend([without("/checksums", name), without("/sizes", name)]);
    }
    let mut outside = good.clone();
    outside["kernelImagePath"] = "/etc/passwd".into();
    broken.push(outside.to_string());
    for text in broken {
        std::fs::write(&manifest, &text).unwrap();
        let ensured = world.ensure(&latest()).await.unwrap();
        assert_eq!(ensured.outcome, Outcome::Prepared, "{text}");
        assert_eq!(world.ensure(&latest()).await.unwrap().outcome, Outcome::Cached);
    }
    std::fs::remove_file(&bundle.rootfs_path).unwrap();
    assert_eq!(world.ensure(&latest()).await.unwrap().outcome, Outcome::Prepared);
    std::fs::remove_file(&bundle.rootfs_path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &bundle.rootfs_path).unwrap();
    assert_eq!(world.ensure(&latest()).await.unwrap().outcome, Outcome::Prepared);
    assert_eq!(read(&bundle.rootfs_path), ROOTFS);
}

#[tokio::test]
async fn s_96_s_97_c_28_a_file_that_changed_is_a_miss_however_it_is_looked_at() {
    for scrutiny in [Scrutiny::Known, Scrutiny::Paranoid] {
        let world = World::new();
        let request = Request { scrutiny, ..latest() };
        let bundle = world.bundle(&request).await;
        for bytes in [&b"other bytes"[..], b"short", b"hsqs a roof"] {
            std::fs::set_permissions(&bundle.rootfs_path, std::fs::Permissions::from_mode(0o644)).unwrap();
            std::fs::write(&bundle.rootfs_path, bytes).unwrap();
            let ensured = world.ensure(&request).await.unwrap();
            assert_eq!(ensured.outcome, Outcome::Prepared, "{scrutiny:?}");
            assert_eq!(read(&ensured.bundle.rootfs_path), ROOTFS);
        }
    }
}

#[tokio::test]
async fn s_97_recorded_digests_are_compared_in_either_case() {
    let world = World::new();
    let bundle = world.bundle(&latest()).await;
    let manifest = bundle.bundle_dir.join("manifest.json");
    let upper = digest_of(KERNEL).hex().to_uppercase();
    let text = String::from_utf8(read(&manifest)).unwrap().replace(digest_of(KERNEL).hex(), &upper);
    std::fs::write(&manifest, text).unwrap();
    for scrutiny in [Scrutiny::Known, Scrutiny::Paranoid] {
        let ensured = world.ensure(&Request { scrutiny, ..latest() }).await.unwrap();
        assert_eq!(ensured.outcome, Outcome::Cached);
    }
}

#[tokio::test]
async fn c_31_s_32_a_cache_that_was_moved_is_a_hit() {
    let mut world = World::new();
    let made = world.bundle(&latest()).await;
    let moved = world.directory.path().join("moved/elsewhere");
    std::fs::create_dir_all(moved.parent().unwrap()).unwrap();
    std::fs::rename(world.cache(), &moved).unwrap();
    world.options.cache_directory = moved.clone();
    world.downloads();
    let ensured = world.ensure(&latest()).await.unwrap();
    assert_eq!(ensured.outcome, Outcome::Cached);
    assert_eq!(ensured.bundle.bundle_dir, moved.join(made.bundle_id.as_str()));
    assert_eq!(read(&ensured.bundle.kernel_image_path), KERNEL);
    assert_eq!(world.downloads(), Vec::<String>::new());
}

#[tokio::test]
async fn two_bundles_with_one_kernel_hold_it_once() {
    let world = World::new();
    world.mirror().put_pair("v1.16", "x86_64", KERNEL, b"hsqs another root");
    let one = world.bundle(&latest()).await;
    world.mirror().release("v1.16.0");
    let two = world.bundle(&latest()).await;
    assert_ne!(one.bundle_id, two.bundle_id);
    let inode = |path: &std::path::Path| std::fs::metadata(path).unwrap().ino();
    let blob = world.manager().store().blob_path(&digest_of(KERNEL));
    assert!(blob.is_file());
    // On a file system with reflinks the blocks are shared instead.
    if inode(&one.kernel_image_path) == inode(&blob) {
        assert_eq!(inode(&one.kernel_image_path), inode(&two.kernel_image_path));
    }
    for bundle in [one, two] {
        assert_eq!(read(&bundle.kernel_image_path), KERNEL);
    }
}

#[tokio::test]
async fn with_the_mirror_away_a_cached_bundle_of_the_preset_is_handed_out_with_a_warning() {
    let mut world = World::new();
    let made = world.bundle(&latest()).await;
    world.mirror = None;
    let ensured = world.ensure(&latest()).await.unwrap();
    assert_eq!((ensured.outcome, ensured.bundle.bundle_id), (Outcome::Fallback, made.bundle_id.clone()));
    let heard = world.heard();
    let warned =
        heard.iter().any(|note| note.starts_with("warning: ") && note.contains(made.bundle_id.as_str()));
    assert!(warned, "{heard:?}");
    // Neither for another preset or architecture, nor where a download is insisted on.
    let (code, _) = failure(&world, &of(Preset::Lts)).await;
    assert_eq!(code, "BASE_IMAGE_RESOLVE_FAILED");
    let other = Request { architecture: Some(Architecture::Aarch64), ..latest() };
    assert_eq!(failure(&world, &other).await.0, "VERSION_FETCH_FAILED");
    let forced = Request { cache: CacheUse::ForceDownload, ..latest() };
    assert_eq!(failure(&world, &forced).await.0, "VERSION_FETCH_FAILED");
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_no_reason_to_hand_out_something_else() {
    let world = World::new();
    world.bundle(&latest()).await;
    world.mirror().fault("/bucket/", Fault::Status(403));
    assert_eq!(failure(&world, &latest()).await.0, "BASE_IMAGE_RESOLVE_FAILED");
}

#[tokio::test]
async fn offline_asks_for_nothing() {
    let world = World::new();
    let offline = Request { network: Network::Offline, ..latest() };
    let (code, message) = failure(&world, &offline).await;
    assert_eq!(code, "BASE_IMAGE_RESOLVE_FAILED");
    assert!(message.contains("`latest` for x86_64 without the network"), "{message}");
    let made = world.bundle(&latest()).await;
    world.mirror().take_requests();
    let ensured = world.ensure(&offline).await.unwrap();
    assert_eq!((ensured.outcome, ensured.bundle.bundle_id), (Outcome::Cached, made.bundle_id));
    assert_eq!(world.mirror().take_requests(), Vec::<String>::new());
    assert_eq!(world.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn verify_reads_everything_and_says_what_is_wrong() {
    let world = World::new();
    let bundle = world.bundle(&latest()).await;
    assert!(world.manager().verify().iter().all(|checked| checked.flaw.is_none()));
    std::fs::set_permissions(&bundle.kernel_image_path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&bundle.kernel_image_path, &b"\x7fELF a colonel"[..KERNEL.len()]).unwrap();
    let checked = world.manager().verify();
    let flaw = checked[0].flaw.as_ref().unwrap().to_string();
    assert!(flaw.starts_with("the kernel has another SHA-256"), "{flaw}");
}

#[tokio::test]
async fn s_27_verify_names_a_torn_manifest_that_nothing_else_counts() {
    let world = World::new();
    let bundle = world.bundle(&latest()).await;
    world.write("cache/notes/readme.txt", b"mine");
    world.write("cache/file", b"mine");
    let torn = world.write("cache/latest-v1.14-torn/manifest.json", b"{");
    let manager = world.manager();
    assert_eq!(manager.list(), std::slice::from_ref(&bundle));
    let checked = manager.verify();
    let [sound, damaged] = checked.as_slice() else { panic!("{checked:?}") };
    assert_eq!((sound.bundle.as_ref(), &sound.flaw), (Some(&bundle), &None));
    assert_eq!((damaged.bundle.as_ref(), Some(damaged.directory.as_path())), (None, torn.parent()));
    let flaw = damaged.flaw.as_ref().unwrap().to_string();
    assert!(flaw.starts_with("its `manifest.json` cannot be used: EOF"), "{flaw}");
    assert_eq!(manager.prune(None).unwrap(), []);
    assert!(torn.exists());
}

#[tokio::test]
async fn what_offline_passes_over_is_said_with_the_reason() {
    let world = World::new();
    let bundle = world.bundle(&latest()).await;
    std::fs::remove_file(&bundle.rootfs_path).unwrap();
    world.write("cache/latest-v1.14-torn/manifest.json", b"{");
    let offline = Request { network: Network::Offline, ..latest() };
    assert_eq!(failure(&world, &offline).await.0, "BASE_IMAGE_RESOLVE_FAILED");
    let heard = world.heard().join("\n");
    for part in [
        format!(
            "warning: the cached base image `{}` cannot be used: the rootfs cannot be read",
            bundle.bundle_id
        ),
        "latest-v1.14-torn` is passed over: its `manifest.json` cannot be used: EOF".to_owned(),
    ] {
        assert!(heard.contains(&part), "{heard}");
    }
}

#[tokio::test]
async fn s_100_a_cache_that_cannot_be_read_is_empty() {
    let world = World::with(Mirror::start("v1.15.1"));
    assert_eq!(world.manager().list(), []);
    world.write("cache", b"a file");
    assert_eq!(port_base_images::list(&world.cache()), []);
}

/// Counts what is read.
#[derive(Default)]
struct Counted(std::sync::Mutex<Vec<port_model::Event>>);

impl port_model::Reporter for Counted {
    fn event(&self, event: port_model::Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test]
async fn a_verification_says_how_far_it_is() {
    use port_model::Event;
    let mut world = World::new();
    let id = world.bundle(&latest()).await.bundle_id;
    let counted = std::sync::Arc::<Counted>::default();
    world.options.reporter = std::sync::Arc::clone(&counted) as _;
    world.manager().verify();
    let (task, bytes) = (format!("verify {id}"), (KERNEL.len() + ROOTFS.len()) as u64);
    let events = counted.0.lock().unwrap();
    assert_eq!(events.first(), Some(&Event::Started { task: task.clone(), total: Some(bytes) }));
    assert_eq!(events.last(), Some(&Event::Finished { task }));
    let advanced =
        events.iter().map(|event| if let Event::Advanced { bytes, .. } = event { *bytes } else { 0 });
    assert_eq!(advanced.sum::<u64>(), bytes);
}
