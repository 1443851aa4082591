//! push, pull, list, inspect: bytes and paths.

use std::os::unix::fs::MetadataExt as _;

use port_testkit::skip;
use serde_json::Value;

use crate::fixture::*;

#[test]
fn p_44_p_45_p_46_what_was_pushed_comes_back_byte_for_byte() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    insta::assert_snapshot!("push", succeed(&project, "push", "tiny"));
    assert_eq!(project.read(SHOP_KERNEL), b"kernel");
    assert_eq!(project.read(CACHED_KERNEL), b"kernel");
    std::fs::remove_dir_all(project.path().join("k")).unwrap();
    std::fs::remove_dir_all(project.path().join(".port")).unwrap();
    insta::assert_snapshot!("pull", succeed(&project, "pull", "tiny"));
    assert_eq!(project.read(LOCAL_KERNEL), b"kernel");
    assert_eq!(project.read(CACHED_KERNEL), b"kernel");
}

#[test]
fn p_27_any_architecture_moves_on_any_host() {
    let project = project();
    project.write("k/aarch64/standard/vmlinux", b"arm");
    let aarch64 = ["--artifact", "tiny", "--architecture", "aarch64"];
    assert_eq!(project.port(&[&["artifacts", "push"][..], &aarch64].concat()).code, 0);
    std::fs::remove_file(project.path().join("k/aarch64/standard/vmlinux")).unwrap();
    assert_eq!(project.port(&[&["artifacts", "pull"][..], &aarch64].concat()).code, 0);
    assert_eq!(project.read("k/aarch64/standard/vmlinux"), b"arm");
    assert!(project.exists("shop/demo-fs/port/tiny/v1/aarch64/firecracker/standard/vmlinux"));
}

#[test]
fn p_47_the_pvm_lane_makes_the_same_round() {
    let project = project();
    project.write("k/x86_64/pvm/vmlinux", b"pvm kernel");
    let pvm = [&["--artifact", "tiny", "--substrate", "firecracker", "--protection-mode", "pvm"][..], &X86]
        .concat();
    assert_eq!(project.port(&[&["artifacts", "push"][..], &pvm].concat()).code, 0);
    std::fs::remove_file(project.path().join("k/x86_64/pvm/vmlinux")).unwrap();
    assert_eq!(project.port(&[&["artifacts", "pull"][..], &pvm].concat()).code, 0);
    assert_eq!(project.read("k/x86_64/pvm/vmlinux"), b"pvm kernel");
    assert_eq!(project.read("shop/demo-fs/port/tiny/v1/x86_64/firecracker/pvm/vmlinux"), b"pvm kernel");
}

#[test]
fn c_1_a_companion_travels_along_and_may_be_absent() {
    let project = project();
    project.write("g/x86_64/standard/rootfs.ext4", b"image");
    project.write("g/x86_64/standard/initrd.cpio.gz", b"initrd");
    succeed(&project, "push", "root");
    std::fs::remove_dir_all(project.path().join("g")).unwrap();
    succeed(&project, "pull", "root");
    assert_eq!(project.read("g/x86_64/standard/initrd.cpio.gz"), b"initrd");
    assert!(project.exists("shop/demo-fs/port/root/v1/x86_64/firecracker/standard/initrd.cpio.gz"));
    std::fs::remove_file(project.path().join("g/x86_64/standard/initrd.cpio.gz")).unwrap();
    succeed(&project, "push", "root");
    assert!(!project.exists("shop/demo-fs/port/root/v1/x86_64/firecracker/standard/initrd.cpio.gz"));
    succeed(&project, "pull", "root");
}

#[test]
fn c_5_a_store_that_others_filled_is_pulled_without_side_cars() {
    let project = project();
    project.write(SHOP_KERNEL, b"by hand");
    succeed(&project, "pull", "tiny");
    assert_eq!(project.read(LOCAL_KERNEL), b"by hand");
}

#[test]
fn a_changed_store_file_is_refused_and_the_local_file_stays() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    succeed(&project, "push", "tiny");
    std::fs::remove_dir_all(project.path().join(".port")).unwrap();
    project.write(LOCAL_KERNEL, b"mine");
    project.write(SHOP_KERNEL, b"kernes");
    insta::assert_snapshot!("pull_changed", artifacts(&project, "pull", "tiny"));
    assert_eq!(project.read(LOCAL_KERNEL), b"mine");
    assert!(!project.exists(CACHED_KERNEL));
}

#[test]
fn the_side_car_is_read_by_sha256sum() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    succeed(&project, "push", "tiny");
    let directory = project.path().join(SHOP_KERNEL).parent().unwrap().to_owned();
    let status = std::process::Command::new("sha256sum")
        .args(["-c", "--status", "vmlinux.sha256"])
        .current_dir(directory)
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn holes_stay_holes_all_the_way() {
    let project = project();
    let image = project.write("g/x86_64/standard/rootfs.ext4", b"x");
    std::fs::File::options().write(true).open(&image).unwrap().set_len(512 << 20).unwrap();
    succeed(&project, "push", "root");
    std::fs::remove_file(&image).unwrap();
    succeed(&project, "pull", "root");
    for path in [
        "g/x86_64/standard/rootfs.ext4",
        "shop/demo-fs/port/root/v1/x86_64/firecracker/standard/rootfs.ext4",
        ".port/cache/demo-fs/port/root/v1/x86_64/firecracker/standard/rootfs.ext4",
    ] {
        let metadata = std::fs::metadata(project.path().join(path)).unwrap();
        assert_eq!(metadata.len(), 512 << 20, "{path}");
        assert!(metadata.blocks() * 512 < 1 << 20, "{path}: {} blocks", metadata.blocks());
    }
}

#[test]
fn the_same_input_has_the_same_manifest_in_two_places() {
    let digest = |content: &[u8]| {
        let project = project();
        project.write(LOCAL_KERNEL, content);
        let ran = project
            .port(&[&["--format", "json", "artifacts", "push", "--artifact", "tiny"][..], &X86].concat());
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        report["manifest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest(b"kernel"), digest(b"kernel"));
    assert_ne!(digest(b"kernel"), digest(b"kernes"));
}

#[test]
fn all_variants_moves_what_is_there() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    project.write("k/aarch64/standard/vmlinux", b"arm");
    insta::assert_snapshot!(
        "push_all",
        project.port(&["artifacts", "push", "--artifact", "tiny", "--all-variants"])
    );
    std::fs::remove_dir_all(project.path().join("k")).unwrap();
    assert_eq!(project.port(&["artifacts", "pull", "--artifact", "tiny", "--all-variants"]).code, 0);
    assert_eq!(project.read("k/aarch64/standard/vmlinux"), b"arm");
}

#[test]
fn the_store_is_an_oci_layout_that_skopeo_reads() {
    let Some(skopeo) = skip::tool("skopeo", "skopeo") else { return };
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    succeed(&project, "push", "tiny");
    let image = "oci:.port/store:demo-fs/port/tiny:v1-x86_64-firecracker-standard";
    let output = std::process::Command::new(skopeo)
        .args(["inspect", "--raw", image])
        .current_dir(project.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(manifest["artifactType"], "application/vnd.port.kernel.v1");
    assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "vmlinux");
}

#[test]
fn p_4_push_and_pull_are_configured_apart() {
    let apart = CONFIGURATION.replacen(
        "pull = { backend = \"file-system\", root = \"shop\" }",
        "pull = { backend = \"file-system\", root = \"mirror\" }",
        1,
    );
    let project = with_configuration(&apart);
    project.write(LOCAL_KERNEL, b"pushed");
    succeed(&project, "push", "tiny");
    project.write(&SHOP_KERNEL.replacen("shop", "mirror", 1), b"mirrored");
    succeed(&project, "pull", "tiny");
    assert_eq!(project.read(LOCAL_KERNEL), b"mirrored");
    assert_eq!(project.read(SHOP_KERNEL), b"pushed");
}

#[test]
fn a_damaged_blob_is_never_handed_out_and_the_next_pull_repairs_it() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    succeed(&project, "push", "tiny");
    let blob = project
        .path()
        .join(".port/store/blobs/sha256/6923dd1bc0460082c5d55a831908c24a282860b7f1cd6c2b79cf1bc8857c639c");
    for damage in [b"kernes".as_slice(), b"ker"] {
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(&blob, damage).unwrap();
        std::fs::remove_dir_all(project.path().join("k")).unwrap();
        std::fs::remove_dir_all(project.path().join(".port/cache")).unwrap();
        succeed(&project, "pull", "tiny");
        assert_eq!(project.read(LOCAL_KERNEL), b"kernel");
        assert_eq!(project.port(&["store", "verify"]).code, 0);
    }
    // push brings it back from the local file, and never publishes the damage.
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, b"kernes").unwrap();
    succeed(&project, "push", "tiny");
    assert_eq!(project.read(SHOP_KERNEL), b"kernel");
}
