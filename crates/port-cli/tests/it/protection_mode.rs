//! PVM is never served by standard artifacts, in any verb (acceptance P-69, P-82, P-83).

use crate::fixture::*;

const PVM: [&str; 4] = ["--architecture", "x86-64", "--protection-mode", "pvm"];

fn pvm(project: &port_testkit::project::Project, verb: &str, name: &str) -> port_testkit::project::Ran {
    project.port(&[&["artifacts", verb, "--artifact", name][..], &PVM].concat())
}

#[test]
fn p_82_push_refuses_standard_bytes_in_the_pvm_lane() {
    let project = project();
    project.write(LOCAL_KERNEL, b"standard");
    project.write("k/x86_64/pvm/vmlinux", b"standard");
    insta::assert_snapshot!("push_standard_as_pvm", pvm(&project, "push", "tiny"));
    assert!(!project.exists("shop"));
}

#[test]
fn p_82_pull_refuses_standard_bytes_in_the_pvm_lane() {
    let project = project();
    project.write(LOCAL_KERNEL, b"standard");
    succeed(&project, "push", "tiny");
    project.write("shop/demo-fs/port/tiny/v1/x86_64/firecracker/pvm/vmlinux", b"standard");
    let ran = pvm(&project, "pull", "tiny");
    assert!(ran.code == 1 && ran.stderr.contains("PVM is never served by standard artifacts"), "{ran}");
    assert!(!project.exists("k/x86_64/pvm/vmlinux"));
}

#[test]
fn p_82_pull_never_takes_the_standard_lane_instead() {
    let project = project();
    project.write(LOCAL_KERNEL, b"standard");
    succeed(&project, "push", "tiny");
    let ran = pvm(&project, "pull", "tiny");
    assert_eq!(ran.code, 5, "{ran}");
    assert!(ran.stderr.contains("x86_64/firecracker/pvm"), "{ran}");
}

#[test]
fn p_82_a_publication_of_another_variant_is_refused() {
    let project = project();
    project.write(LOCAL_KERNEL, b"standard");
    succeed(&project, "push", "tiny");
    let lanes = project.path().join("shop/demo-fs/port/tiny/v1/x86_64/firecracker");
    std::fs::rename(lanes.join("standard"), lanes.join("pvm")).unwrap();
    insta::assert_snapshot!("pull_another_variant", pvm(&project, "pull", "tiny"));
}

#[test]
fn p_68_p_69_c_4_a_pvm_kernel_needs_a_source_of_its_own() {
    if !cfg!(target_arch = "x86_64") {
        port_testkit::skip::because("PVM lanes are built on x86_64 only");
        return;
    }
    let project = project();
    let ran = project
        .port(&[&["artifacts", "build", "--artifact", "tiny", "--source", "pvm-flake"][..], &PVM].concat());
    assert!(ran.code != 0 && ran.stderr.contains("PORT_PVM_BUILD_FLAKE_REF"), "{ran}");
    // A configured path is an explicit source; the standard kernel behind it is refused all the same.
    project.write("source/vmlinux", elf_kernel("standard"));
    succeed(&project, "build", "tiny");
    project.write("source/pvm", elf_kernel("standard"));
    let ran =
        project.port(&[&["artifacts", "build", "--artifact", "tiny", "--source", "path"][..], &PVM].concat());
    assert!(ran.code != 0 && ran.stderr.contains("PVM"), "{ran}");
    assert!(!project.exists("k/x86_64/pvm/vmlinux"), "{ran}");
    project.write("source/pvm", elf_kernel("pvm"));
    let ran =
        project.port(&[&["artifacts", "build", "--artifact", "tiny", "--source", "path"][..], &PVM].concat());
    assert_eq!(ran.code, 0, "{ran}");
    let ran = pvm(&project, "validate", "tiny");
    assert_eq!(ran.code, 0, "{ran}");
    // Validation sees it too, however the file came there.
    std::fs::copy(project.path().join(LOCAL_KERNEL), project.path().join("k/x86_64/pvm/vmlinux")).unwrap();
    let ran = pvm(&project, "validate", "tiny");
    assert!(ran.code == 1 && ran.stdout.contains("FAILED protection mode"), "{ran}");
}

#[test]
fn p_82_run_refuses_what_it_cannot_run() {
    let project = with_configuration(
        &CONFIGURATION
            .replace("architecture = \"x86_64\"\n", "architecture = \"x86_64\"\nprotection_mode = \"pvm\"\n"),
    );
    project.write("k/x86_64/pvm/vmlinux", b"pvm kernel");
    project.write("g/x86_64/pvm/rootfs.ext4", b"image");
    let ran = project.port(&["run", "tiny", "--", "true"]);
    assert!(ran.code != 0 && ran.stderr.contains("cannot run `x86_64/firecracker/pvm`"), "{ran}");
    project.write(LOCAL_KERNEL, b"pvm kernel");
    let ran = project.port(&["run", "tiny", "--", "true"]);
    assert!(ran.code != 0 && ran.stderr.contains("PVM is never served"), "{ran}");
}
