//! From presets to CI lines, keys and errors.

use port_base_images::{Outcome, Preset, Request, Source};
use port_model::Architecture;
use port_testkit::mirror::{Fault, Mirror};

use crate::world::{KERNEL, ROOTFS, World, failure, latest, of};

const LATEST: &str = "latest-v1.15-x86_64-vmlinux-6.1.155-ubuntu-24.04.squashfs";

#[tokio::test]
async fn s_38_s_39_s_42_s_43_s_55_s_56_latest_is_the_line_of_the_newest_release() {
    let world = World::new();
    let ensured = world.ensure(&latest()).await.unwrap();
    let bundle = ensured.bundle;
    assert_eq!(ensured.outcome, Outcome::Prepared);
    assert_eq!(bundle.bundle_id.as_str(), LATEST);
    assert_eq!((bundle.ci_version.as_str(), bundle.firecracker_version.as_str()), ("v1.15", "v1.15.1"));
    assert_eq!((bundle.preset, bundle.arch), (Preset::Latest, Architecture::X86_64));
    let prefix = "firecracker-ci/v1.15/x86_64/";
    let expected = Source::FirecrackerCi {
        bucket_url: world.mirror().bucket_url(),
        kernel_key: format!("{prefix}vmlinux-6.1.155"),
        rootfs_key: format!("{prefix}ubuntu-24.04.squashfs"),
    };
    assert_eq!(bundle.source, expected);
    assert!(world.mirror().take_requests().contains(&"HEAD /releases/latest".to_owned()), "headers only");
}

#[tokio::test]
async fn s_38_lts_is_the_fixed_line_and_asks_for_no_release() {
    let mirror = Mirror::start("v1.15.1");
    for name in ["vmlinux-5.10.210", "vmlinux-6.1.77", "vmlinux-6.1.77.config"] {
        mirror.put(&format!("firecracker-ci/v1.7/x86_64/{name}"), KERNEL);
    }
    for name in ["ubuntu-22.04.ext4", "ubuntu-22.04.id_rsa"] {
        mirror.put(&format!("firecracker-ci/v1.7/x86_64/{name}"), ROOTFS);
    }
    let world = World::with(mirror);
    let bundle = world.bundle(&of(Preset::Lts)).await;
    assert_eq!(bundle.bundle_id.as_str(), "lts-v1.7-x86_64-vmlinux-6.1.77-ubuntu-22.04.ext4");
    assert_eq!(bundle.firecracker_version, "v1.7.0");
    assert!(!bundle.rootfs_is_read_only, "S-41: ext4 is writable");
    assert_eq!(bundle.boot_args, "console=ttyS0 reboot=k panic=1 pci=off");
    assert!(!world.mirror().take_requests().iter().any(|request| request.contains("/releases/")));
}

#[tokio::test]
async fn s_33_the_call_names_another_architecture_than_the_manager() {
    let world = World::new();
    world.mirror().put_pair("v1.15", "aarch64", KERNEL, ROOTFS);
    let request = Request { architecture: Some(Architecture::Aarch64), ..latest() };
    let bundle = world.bundle(&request).await;
    assert_eq!(bundle.arch, Architecture::Aarch64);
    assert!(bundle.bundle_id.as_str().starts_with("latest-v1.15-aarch64-"));
    assert_eq!(
        bundle.boot_args,
        "keep_bootcon console=ttyS0 reboot=k panic=1 pci=off ro rootfstype=squashfs"
    );
    assert_eq!(world.bundle(&latest()).await.arch, Architecture::X86_64);
}

#[tokio::test]
async fn s_46_s_47_c_26_a_listing_of_thousands_is_read_to_its_end() {
    let world = World::new();
    world.bundle(&latest()).await;
    let requests = world.mirror().take_requests();
    let pages: Vec<_> = requests.iter().filter(|request| request.contains("list-type=2")).collect();
    assert_eq!(pages.len(), 3, "{pages:?}");
    assert_eq!(*pages[0], "GET /bucket/?list-type=2&prefix=firecracker-ci%2Fv1.15%2Fx86_64%2F");
    assert!(pages[1..].iter().all(|page| page.contains("&continuation-token=")), "{pages:?}");
    // The same pair from pages of one key each that hold escapes, and from one page.
    world.mirror().page(37);
    assert_eq!(world.bundle(&latest()).await.bundle_id.as_str(), LATEST);
    world.mirror().page(100_000);
    assert_eq!(world.bundle(&latest()).await.bundle_id.as_str(), LATEST);
}

#[tokio::test]
async fn s_44_s_45_what_leads_to_no_release_is_a_failed_version_fetch() {
    let world = World::new();
    for (fault, found) in [
        (Fault::Status(404), "404"),
        (Fault::Redirect("/releases/tag/v1.15".to_owned()), "/releases/tag/v1.15`"),
        (Fault::Redirect("/releases/tag/nightly".to_owned()), "/releases/tag/nightly`"),
    ] {
        world.mirror().fault("/releases/latest", fault);
        let (code, message) = failure(&world, &latest()).await;
        assert_eq!(code, "VERSION_FETCH_FAILED");
        assert!(message.contains(found) && message.contains(&world.mirror().releases_url()), "{message}");
    }
}

#[tokio::test]
async fn s_48_c_27_no_keys_and_failed_listings_name_line_and_architecture() {
    let world = World::with(Mirror::start("v1.15.1"));
    let (code, message) = failure(&world, &latest()).await;
    assert_eq!(code, "BASE_IMAGE_RESOLVE_FAILED");
    assert!(
        message.contains("CI line v1.15 for x86_64") && message.contains("nothing is listed"),
        "{message}"
    );
    for status in [403, 404, 500] {
        world.mirror().fault("/bucket/", Fault::Status(status));
        let (code, message) = failure(&world, &latest()).await;
        assert_eq!(code, "BASE_IMAGE_RESOLVE_FAILED");
        assert!(message.contains("v1.15 for x86_64") && message.contains(&status.to_string()), "{message}");
    }
}

#[tokio::test]
async fn s_51_s_54_a_line_without_a_kernel_or_a_root_is_refused() {
    let world = World::new();
    world.mirror().release("v1.16.0");
    world.mirror().put("firecracker-ci/v1.16/x86_64/debug/vmlinux-6.1.155", KERNEL);
    let (code, message) = failure(&world, &latest()).await;
    assert_eq!(code, "BASE_IMAGE_RESOLVE_FAILED");
    assert!(message.contains("none of 1 keys is a kernel"), "{message}");
    world.mirror().put("firecracker-ci/v1.16/x86_64/vmlinux-6.1.155", KERNEL);
    let (code, message) = failure(&world, &latest()).await;
    assert_eq!(code, "BASE_IMAGE_RESOLVE_FAILED");
    assert!(message.contains("none of 2 keys is a root"), "{message}");
}

#[tokio::test]
async fn s_37_hosted_without_a_manifest_is_refused() {
    let (code, message) = failure(&World::new(), &of(Preset::Hosted)).await;
    assert_eq!(code, "BASE_IMAGE_MANIFEST_FAILED");
    assert!(message.contains("found neither"), "{message}");
}

#[tokio::test]
async fn c_26_a_listing_without_an_end_is_refused() {
    let world = World::new();
    // A page that is cut and does not say where it goes on.
    world.mirror().page(0);
    let (code, message) = failure(&world, &latest()).await;
    assert_eq!(code, "BASE_IMAGE_RESOLVE_FAILED");
    assert!(message.contains("does not come to an end after 1 pages and 0 keys"), "{message}");
}
