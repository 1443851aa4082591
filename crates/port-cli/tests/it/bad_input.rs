//! What a user can get wrong, and what `port` then says: each message is kept as a snapshot.

use crate::fixture::*;

#[test]
fn without_a_configuration() {
    let project = port_testkit::project::Project::new(env!("CARGO_BIN_EXE_port"));
    insta::assert_snapshot!(project.port(&["artifacts", "list"]));
    project.write("port.toml", [0xff, 0xfe]);
    insta::assert_snapshot!("not_utf_8", project.port(&["artifacts", "list"]));
}

#[test]
fn configurations_with_mistakes() {
    for (name, from, to) in [
        ("unknown_key", "reference = {", "refrence = {"),
        ("wrong_type", "version = \"v1\"", "version = 1"),
        ("path_escape", "repository = \"port/tiny\"", "repository = \"../tiny\""),
        ("unknown_machine_kernel", "kernel = \"tiny\"", "kernel = \"tinny\""),
        (
            "duplicate_selector",
            "architecture = \"aarch64\", substrate = \"firecracker\", protection_mode = \"standard\"",
            "architecture = \"x86_64\", substrate = \"firecracker\", protection_mode = \"standard\"",
        ),
        ("syntax", "[machines.tiny]", "[machines.tiny"),
    ] {
        assert!(CONFIGURATION.contains(from), "{from}");
        let project = with_configuration(&CONFIGURATION.replacen(from, to, 1));
        insta::assert_snapshot!(name, project.port(&["artifacts", "list"]));
        assert!(!project.exists(".port"), "a bad configuration makes nothing");
    }
}

#[test]
fn names_and_variants_that_do_not_exist() {
    let project = project();
    insta::assert_snapshot!("unknown_artifact", artifacts(&project, "push", "tinny"));
    insta::assert_snapshot!(
        "unknown_variant",
        project
            .port(&[&["artifacts", "pull", "--artifact", "tiny", "--substrate", "qemu"][..], &X86].concat())
    );
    insta::assert_snapshot!("unknown_machine", project.port(&["run", "tinny", "--", "true"]));
    insta::assert_snapshot!(
        "unknown_substrate",
        project.port(&["artifacts", "pull", "--artifact", "tiny", "--substrate", "firecraker"])
    );
}

#[test]
fn files_and_backends_that_are_not_there() {
    let project = project();
    insta::assert_snapshot!("no_local_file", artifacts(&project, "push", "tiny"));
    insta::assert_snapshot!("not_published", artifacts(&project, "pull", "tiny"));
    project.write("k/x86_64/standard/vmlinux/directory", b"");
    insta::assert_snapshot!("a_directory", artifacts(&project, "push", "tiny"));
    let without = with_configuration(
        &CONFIGURATION.replace("distribution = { push", "distribution = { pull").replacen(
            ", pull = { backend = \"file-system\", root = \"shop\" }",
            "",
            2,
        ),
    );
    insta::assert_snapshot!("no_backend", artifacts(&without, "push", "tiny"));
    let hosted = CONFIGURATION.replacen(
        "push = { backend = \"file-system\", root = \"shop\" }",
        "push = { backend = \"hosted-api\", endpoint = \"http://127.0.0.1:7040\" }",
        1,
    ) + "\n[control_planes.demo]\nendpoint = \"http://127.0.0.1:7040\"\naudience = \"demo\"\n\
         auth = { scheme = \"bearer\", header = \"authorization\", source = { kind = \"env\", variable = \"T\" } }\n";
    insta::assert_snapshot!("no_token", artifacts(&with_configuration(&hosted), "push", "tiny"));
}

#[test]
fn p_26_p_29_lanes_that_cannot_be_built_here() {
    let project = project();
    let foreign = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86-64" };
    let ran = project.port(&["artifacts", "build", "--artifact", "tiny", "--architecture", foreign]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("build runs natively only"), "{ran}");
    let ran = project.port(&["artifacts", "validate", "--artifact", "tiny", "--architecture", foreign]);
    assert!(ran.stderr.contains("validate runs natively only"), "{ran}");
    for verb in ["build", "validate"] {
        let research = [
            "artifacts",
            verb,
            "--artifact",
            "tiny",
            "--architecture",
            "aarch64",
            "--protection-mode",
            "pvm",
        ];
        let ran = project.port(&research);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains("research-only"), "{ran}");
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let project = project();
    let local = project.write(LOCAL_KERNEL, b"kernel");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&local, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&local).is_ok() {
        port_testkit::skip::because("this user reads every file");
        return;
    }
    let ran = artifacts(&project, "push", "tiny");
    assert!(ran.code == 1 && ran.stderr.contains("k/x86_64/standard/vmlinux"), "{ran}");
}

#[test]
fn a_full_disk_leaves_everything_as_it_was() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    succeed(&project, "push", "tiny");
    project.write(LOCAL_KERNEL, vec![7; 4 << 20]);
    // A file system of 1 MiB in a mount namespace of its own stands for the full disk.
    let script = "mkdir -p full && mount -t tmpfs -o size=1m none full && cp -r shop full/ && \
                  sed -i 's#\"shop\"#\"full/shop\"#g' port.toml && \
                  \"$0\" artifacts push --artifact tiny --architecture x86-64; \
                  code=$?; cat full/shop/demo-fs/port/tiny/v1/x86_64/firecracker/standard/vmlinux; \
                  ls -A full/shop/demo-fs/port/tiny/v1/x86_64/firecracker; exit $code";
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_port")])
        .current_dir(project.path())
        .output()
        .unwrap();
    let ran = project.ran(output);
    if ran.stderr.contains("unshare:") || ran.stderr.contains("mount:") {
        port_testkit::skip::because(&format!("no mount namespace: {}", ran.stderr));
        return;
    }
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("No space left on device"), "{ran}");
    assert_eq!(ran.stdout, "kernelstandard\n", "the old file is there, and nothing beside it");
}
