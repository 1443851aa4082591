//! The sample project in `examples/` is read on every host and holds what the documents promise.

use std::path::Path;

use port_config::{Backend, KernelSource, Project, TokenSource};
use port_model::{Architecture, ArtifactClass, ProtectionMode, Selector, Substrate, Variant};

const SAMPLE: &str = include_str!("../../../../examples/port.toml");

fn sample(host: Architecture) -> Project {
    Project::parse("examples/port.toml", SAMPLE, host).unwrap_or_else(|error| panic!("{error}"))
}

/// P-28 and Pu-8: every lane, in the order of the file.
const LANES: [&str; 8] = [
    "x86_64/firecracker/standard",
    "aarch64/firecracker/standard",
    "x86_64/firecracker/pvm",
    "aarch64/firecracker/pvm",
    "x86_64/cloud-hypervisor/standard",
    "aarch64/cloud-hypervisor/standard",
    "x86_64/avf/standard",
    "aarch64/avf/standard",
];

#[test]
fn p_28_pu_8_both_artifacts_have_every_lane_on_both_hosts() {
    for host in [Architecture::X86_64, Architecture::Aarch64] {
        let project = sample(host);
        for name in ["demo-kernel", "demo-guest"] {
            let artifact = project.artifact(name).unwrap();
            let lanes: Vec<String> = artifact.variants.iter().map(|v| v.variant.to_string()).collect();
            assert_eq!(lanes, LANES, "{name}");
        }
    }
}

#[test]
fn p_33_to_p_36_local_paths() {
    let project = sample(Architecture::X86_64);
    for (name, directory, file) in [
        ("demo-kernel", "artifacts/kernel/demo", "vmlinux"),
        ("demo-guest", "artifacts/guest/demo", "rootfs.ext4"),
    ] {
        for config in &project.artifact(name).unwrap().variants {
            assert_eq!(config.path, Path::new(directory).join(config.variant.directory()).join(file));
            assert_eq!(config.file_name.as_str(), file);
        }
    }
}

#[test]
fn p_1_p_6_p_9_p_10_names_and_roots() {
    let project = sample(Architecture::X86_64);
    for (name, class, reference) in [
        ("demo-kernel", ArtifactClass::Kernel, "demo-fs/port/demo-kernel:v1"),
        ("demo-guest", ArtifactClass::GuestImage, "demo-fs/port/demo-guest:v1"),
    ] {
        let artifact = project.artifact(name).unwrap();
        assert_eq!(artifact.class, class);
        assert_eq!(artifact.reference.to_string(), reference);
        let store = Some(Backend::FileSystem { root: "artifact-store/demo-fs".into() });
        assert_eq!((&artifact.distribution.push, &artifact.distribution.pull), (&store, &store));
        assert_eq!(artifact.distribution.cache_root, Path::new(".port/cache"));
    }
    assert_eq!(project.store_root, Path::new(".port/store"));
}

#[test]
fn p_67_pu_35_the_pinned_kernel_comes_first_then_debians() {
    let project = sample(Architecture::X86_64);
    let kernel = project.artifact("demo-kernel").unwrap();
    for (architecture, sha256, package) in [
        (
            Architecture::X86_64,
            "e41c7048bd2475e7e788153823fcb9166a7e0b78c4c443bd6446d015fa735f53",
            "linux-image-cloud-amd64",
        ),
        (
            Architecture::Aarch64,
            "61baeae1ac6197be4fc5c71fa78df266acdc33c54570290d2f611c2b42c105be",
            "linux-image-cloud-arm64",
        ),
    ] {
        let sources = &kernel.variant(Selector::default(), architecture).unwrap().sources;
        let found: Vec<String> = sources.iter().map(KernelSource::to_string).collect();
        let pinned =
            format!("firecracker-ci firecracker-ci/v1.14/{architecture}/vmlinux-6.1.155 sha256:{sha256}");
        assert_eq!(found, [pinned, format!("debian-package {package}")]);
    }
}

#[test]
fn p_29_p_82_pvm_comes_from_its_flake_alone_and_is_only_listed_for_aarch64() {
    let project = sample(Architecture::X86_64);
    let kernel = project.artifact("demo-kernel").unwrap();
    let pvm = Selector { protection_mode: ProtectionMode::Pvm, ..Selector::default() };
    let sources: Vec<&str> =
        kernel.variant(pvm, Architecture::X86_64).unwrap().sources.iter().map(KernelSource::kind).collect();
    assert_eq!(sources, ["pvm-flake"]);
    let aarch64 = kernel.variant(pvm, Architecture::Aarch64).unwrap();
    assert!(aarch64.sources.is_empty() && !aarch64.variant.is_supported());
}

#[test]
fn pu_9_the_machine_is_the_hosts() {
    for host in [Architecture::X86_64, Architecture::Aarch64] {
        let project = sample(host);
        let machine = project.machine("demo").unwrap();
        let variant = Variant::new(host, Substrate::Firecracker, ProtectionMode::Standard);
        assert_eq!(machine.variant, variant);
        assert_eq!((machine.vcpu_count, machine.memory_mib), (2, 512));
        assert_eq!((machine.guest.vsock_cid, machine.guest.control_port), (3, 7000));
        let args = "console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw";
        assert_eq!(machine.kernel_args.to_string(), args);
        assert!(!machine.rootfs_read_only && machine.volumes.is_empty());
        for name in [&machine.kernel, &machine.guest_image] {
            let artifact = project.artifact(name).unwrap();
            assert!(artifact.variants.iter().any(|config| config.variant == machine.variant));
        }
    }
}

#[test]
fn pu_7_the_control_plane() {
    let project = sample(Architecture::X86_64);
    let plane = project.control_plane("demo").unwrap();
    assert_eq!((plane.endpoint.as_str(), plane.audience.as_str()), ("http://127.0.0.1:7040", "port-demo"));
    assert_eq!(plane.auth.header, "authorization");
    assert_eq!(plane.auth.source, TokenSource::Env { variable: "PORT_DEMO_TOKEN".to_owned() });
}

#[test]
fn the_guest_images_have_the_recipe_of_their_artifact() {
    let project = sample(Architecture::X86_64);
    for config in &project.artifact("demo-guest").unwrap().variants {
        let recipe = config.recipe.as_ref().unwrap();
        assert_eq!(recipe.kernel.as_deref(), Some("demo-kernel"));
        assert_eq!((recipe.size_mib, recipe.label.as_deref()), (Some(64), Some("port-demo-rootfs")));
    }
}

#[test]
fn p_50_p_58_the_sample_edited_for_other_backends_is_read() {
    let file_system = "{ backend = \"file-system\", root = \"artifact-store/demo-fs\" }";
    for (backend, detail) in [
        (
            r#"{ backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" } }"#,
            "plain-http",
        ),
        (r#"{ backend = "hosted-api", endpoint = "http://127.0.0.1:7040" }"#, "7040"),
        (
            r#"{ backend = "hosted-api", endpoint = "http://127.0.0.1:7040", auth = { kind = "anonymous" } }"#,
            "7040",
        ),
    ] {
        let text = SAMPLE.replace(file_system, backend).replace("\"demo-fs\"", "\"127.0.0.1:5510\"");
        let project = Project::parse("port.toml", &text, Architecture::X86_64)
            .unwrap_or_else(|error| panic!("{detail}: {error}"));
        let kernel = project.artifact("demo-kernel").unwrap();
        assert_eq!(kernel.reference.registry(), "127.0.0.1:5510");
        assert_ne!(kernel.distribution.push.as_ref().unwrap().kind(), "file-system");
    }
}
