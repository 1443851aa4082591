//! Building the sample: reproducible, recorded, refused where it must be.

use port_testkit::skip;

use crate::demo;
use crate::fixture::*;

#[test]
fn two_builds_in_two_folders_are_byte_for_byte_equal() {
    let (Some(one), Some(two)) = (demo::project(), demo::project()) else { return };
    let lock = String::from_utf8(one.read("port.lock")).unwrap();
    std::fs::remove_dir_all(two.path().join("artifacts")).unwrap();
    // Another directory, built anew from the same downloads; the lock must come out the same.
    std::fs::remove_file(two.path().join("port.lock")).unwrap();
    for artifact in ["demo-kernel", "demo-guest", "squashfs-guest", "erofs-guest"] {
        let ran = two.port(&["artifacts", "build", "--artifact", artifact]);
        assert_eq!(ran.code, 0, "{ran}");
        assert!(ran.stdout.starts_with("built "), "{ran}");
    }
    assert_eq!(String::from_utf8(two.read("port.lock")).unwrap(), lock);
    assert!(!lock.contains(&*one.path().to_string_lossy()), "the lock names this folder");
}

#[test]
fn p_70_a_second_build_of_unchanged_input_does_nothing() {
    let Some(project) = demo::project() else { return };
    for artifact in ["demo-kernel", "demo-guest"] {
        let ran = project.port(&["artifacts", "build", "--artifact", artifact, "--locked"]);
        assert!(ran.code == 0 && ran.stdout.starts_with("up to date: "), "{ran}");
    }
}

#[test]
fn validation_finds_everything_at_once() {
    let Some(project) = demo::project() else { return };
    let arch = std::env::consts::ARCH;
    let image = format!("artifacts/guest/demo/{arch}/firecracker/standard/rootfs.ext4");
    let good = project.port(&["artifacts", "validate", "--artifact", "demo-guest"]);
    assert_eq!(good.code, 0, "{good}");
    let mut bytes = project.read(&image);
    // Into the first group's bitmaps and inode table.
    bytes[8192..16384].fill(0xff);
    std::fs::remove_file(project.path().join(&image)).unwrap();
    project.write(&image, &bytes);
    let ran = project.port(&["artifacts", "validate", "--artifact", "demo-guest"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("FAILED digest of rootfs.ext4"), "{ran}");
    assert!(ran.stdout.contains("FAILED file system: e2fsck -fn"), "{ran}");
    project.write(&image, b"not a file system");
    let ran = project.port(&["artifacts", "validate", "--artifact", "demo-guest"]);
    assert!(ran.code == 1 && ran.stdout.contains("expected ext4, squashfs or erofs"), "{ran}");
}

#[test]
fn a_truncated_kernel_is_not_valid() {
    let Some(project) = demo::project() else { return };
    let kernel = format!("artifacts/kernel/demo/{}/firecracker/standard/vmlinux", std::env::consts::ARCH);
    let bytes = project.read(&kernel);
    std::fs::remove_file(project.path().join(&kernel)).unwrap();
    project.write(&kernel, &bytes[..bytes.len() / 2]);
    let ran = project.port(&["artifacts", "validate", "--artifact", "demo-kernel"]);
    assert!(ran.code == 1 && ran.stdout.contains("FAILED digest of vmlinux"), "{ran}");
    assert!(!cfg!(target_arch = "x86_64") || ran.stdout.contains("FAILED format"), "{ran}");
}

#[test]
fn sources_that_are_no_kernels_are_refused_and_nothing_is_replaced() {
    if !cfg!(target_arch = "x86_64") {
        skip::because("the tiny kernel is built on x86_64 only");
        return;
    }
    let project = project();
    project.write(LOCAL_KERNEL, b"mine");
    let kernel = elf_kernel("good");
    let mut arm = kernel.clone();
    arm[18..20].copy_from_slice(&183u16.to_le_bytes());
    for (bytes, expected) in [
        (b"".to_vec(), "empty"),
        (b"<html>not found</html>".to_vec(), "HTML"),
        (kernel[..100].to_vec(), "expected"),
        (arm, "aarch64"),
    ] {
        project.write("source/vmlinux", bytes);
        let ran = artifacts(&project, "build", "tiny");
        assert_eq!(ran.code, 1, "{ran}");
        assert!(ran.stderr.contains(expected), "{expected}\n{ran}");
        assert_eq!(project.read(LOCAL_KERNEL), b"mine");
        assert!(!project.exists("port.lock"));
    }
    std::fs::remove_file(project.path().join("source/vmlinux")).unwrap();
    let ran = artifacts(&project, "build", "tiny");
    assert!(ran.code != 0 && ran.stderr.contains("source/vmlinux"), "{ran}");
}

#[test]
fn the_lock_is_kept_to() {
    if !cfg!(target_arch = "x86_64") {
        skip::because("the tiny kernel is built on x86_64 only");
        return;
    }
    let project = project();
    project.write("source/vmlinux", elf_kernel("one"));
    let locked =
        project.port(&[&["artifacts", "build", "--artifact", "tiny", "--locked"][..], &X86].concat());
    assert!(locked.code == 1 && locked.stderr.contains("port.lock"), "{locked}");
    succeed(&project, "build", "tiny");
    project.write("source/vmlinux", elf_kernel("two"));
    std::fs::remove_file(project.path().join(LOCAL_KERNEL)).unwrap();
    let locked =
        project.port(&[&["artifacts", "build", "--artifact", "tiny", "--locked"][..], &X86].concat());
    assert_eq!(locked.code, 1, "{locked}");
    assert!(locked.stderr.contains("port.lock would change"), "{locked}");
    let updated =
        project.port(&[&["artifacts", "build", "--artifact", "tiny", "--update"][..], &X86].concat());
    assert_eq!(updated.code, 0, "{updated}");
    assert_eq!(project.read(LOCAL_KERNEL), elf_kernel("two"));
}

#[test]
fn p_32_the_environment_names_the_busybox() {
    let Some(project) = demo::project() else { return };
    let build = |busybox: &str| {
        let mut command = project.command(&["artifacts", "build", "--artifact", "demo-guest"]);
        project.ran(command.env("PORT_BUSYBOX_BIN", busybox).output().unwrap())
    };
    let ran = build("/nowhere/busybox");
    assert!(ran.code != 0 && ran.stderr.contains("/nowhere/busybox"), "{ran}");
    let Some(busybox) = skip::tool("busybox", "busybox-static") else { return };
    let mut bytes = std::fs::read(busybox).unwrap();
    bytes.extend_from_slice(b"a mark");
    let own = project.write("own-busybox", bytes);
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = build(&own.to_string_lossy());
    assert!(ran.code == 0 && ran.stdout.starts_with("built "), "another BusyBox is another image\n{ran}");
}

#[test]
fn p_70_c_3_validation_compares_with_the_pin_and_with_what_was_pulled() {
    if !cfg!(target_arch = "x86_64") {
        skip::because("the tiny kernel is built on x86_64 only");
        return;
    }
    let kernel = elf_kernel("pinned");
    let digest = port_content::hashing::digest_of(&kernel);
    let pinned = |digest: &str| {
        let source = format!("path = \"source/vmlinux\", sha256 = \"{digest}\"");
        CONFIGURATION.replacen("path = \"source/vmlinux\"", &source, 1)
    };
    let project = with_configuration(&pinned(digest.hex()));
    project.write("source/vmlinux", &kernel);
    succeed(&project, "build", "tiny");
    succeed(&project, "validate", "tiny");
    succeed(&project, "push", "tiny");
    project.write("port.toml", pinned(&"1".repeat(64)));
    let ran = artifacts(&project, "validate", "tiny");
    assert!(ran.code == 1 && ran.stdout.contains("FAILED source"), "{ran}");
    // Without the lock the pin alone decides; without both, what was pulled.
    std::fs::remove_file(project.path().join("port.lock")).unwrap();
    project.write("port.toml", pinned(digest.hex()));
    let ran = succeed(&project, "validate", "tiny");
    assert!(ran.stdout.contains("as pinned"), "{ran}");
    project.write("port.toml", CONFIGURATION);
    succeed(&project, "pull", "tiny");
    let ran = succeed(&project, "validate", "tiny");
    assert!(ran.stdout.contains("as in what was pulled"), "{ran}");
    project.write(LOCAL_KERNEL, elf_kernel("other"));
    let ran = artifacts(&project, "validate", "tiny");
    assert!(ran.code == 1 && ran.stdout.contains("FAILED digest of vmlinux"), "{ran}");
}

#[test]
fn a_source_file_that_is_not_there_is_not_found_and_no_mirror_would_help() {
    if !cfg!(target_arch = "x86_64") {
        skip::because("the tiny kernel is built on x86_64 only");
        return;
    }
    let project = with_configuration(CONFIGURATION);
    std::fs::remove_file(project.path().join("source/vmlinux")).ok();
    let ran = artifacts(&project, "build", "tiny");
    assert_eq!(ran.code, 5, "{ran}");
    assert!(ran.stderr.contains("`source/vmlinux` does not exist"), "{ran}");
    assert!(!ran.stderr.contains("mirror"), "{ran}");
}

#[test]
fn a_program_is_no_kernel() {
    if !cfg!(target_arch = "x86_64") {
        skip::because("the tiny kernel is built on x86_64 only");
        return;
    }
    let project = project();
    let mut program = elf_kernel("x");
    let at = program.windows(13).position(|window| window == b"Linux version").unwrap();
    program[at] = b'l';
    project.write("source/vmlinux", program);
    succeed(&project, "build", "tiny");
    let ran = artifacts(&project, "validate", "tiny");
    assert!(ran.code == 1 && ran.stdout.contains("this is no kernel"), "{ran}");
}
