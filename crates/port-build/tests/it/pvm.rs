//! PVM: where its kernels come from, and that nothing standard ever takes their place.

use std::fs;

use port_build::BuildError;
use port_config::source::PVM_FLAKE_ATTRIBUTE;
use port_config::{ImageFormat, KernelSource};
use port_content::hashing::digest_of;
use port_image::ImageReader;
use port_model::{ComponentFormat, ProtectionMode, Variant};

use crate::samples;
use crate::world::{ARM, PVM, STANDARD, World, path_source, recipe};

fn flake() -> KernelSource {
    KernelSource::PvmFlake { attribute: PVM_FLAKE_ATTRIBUTE.to_owned() }
}

#[test]
fn p_84_pvm_on_aarch64_fails_at_once() {
    let variant = Variant { protection_mode: ProtectionMode::Pvm, ..ARM };
    let mut world = World::new();
    let path = world.file("Image", b"x");
    let kernel = world.kernel_artifact(variant, vec![path_source(&path)]);
    let image = world.image_artifact(variant, recipe(ImageFormat::Ext4));
    for error in [world.kernel(&kernel).unwrap_err(), world.image(&image, None).unwrap_err()] {
        assert!(matches!(error, BuildError::ResearchOnly { .. }), "{error}");
        assert!(error.to_string().contains("research-only"), "{error}");
    }
}

#[test]
fn p_69_p_82_no_standard_kernel_becomes_a_pvm_kernel() {
    let mut world = World::new();
    let standard = world.file("vmlinux", &samples::kernel("standard"));
    let artifact = world.kernel_artifact(STANDARD, vec![path_source(&standard)]);
    world.kernel(&artifact).unwrap();

    // The bytes of a standard variant, by the lock; then by the artifact's own pins.
    let copy = world.file("renamed", &samples::kernel("standard"));
    let mut pvm = world.kernel_artifact(PVM, vec![path_source(&copy)]);
    let text = world.kernel(&pvm).unwrap_err().to_string();
    assert!(text.contains("protection modes never fall back"), "{text}");
    world.lock = port_config::Lock::default();
    let sha256 = digest_of(&samples::kernel("standard"));
    let key = "firecracker-ci/v1.14/x86_64/vmlinux-6.1.155".to_owned();
    let pinned = KernelSource::FirecrackerCi { key, sha256 };
    pvm.variants.push(world.kernel_artifact(STANDARD, vec![pinned.clone()]).variants.remove(0));
    let error = world.kernel(&pvm).unwrap_err();
    assert!(matches!(error, BuildError::StandardKernel { .. }), "{error}");

    // Sources that can hold nothing else are refused before they are asked.
    let package = KernelSource::DebianPackage { package: "linux-image-cloud-amd64".to_owned() };
    for source in [pinned, package] {
        let pvm = world.kernel_artifact(PVM, vec![source, path_source(&copy)]);
        let error = world.kernel(&pvm).unwrap_err();
        assert!(matches!(error, BuildError::StandardKernel { .. }), "{error}");
    }
    assert!(!world.output(PVM, "vmlinux").exists());
}

#[test]
fn p_68_without_a_flake_or_nix_the_error_says_what_to_do() {
    let mut world = World::new();
    let artifact = world.kernel_artifact(PVM, vec![flake()]);
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert!(
        text.contains("PORT_PVM_BUILD_FLAKE_REF is not set") && text.contains("`path` or `url`"),
        "{text}"
    );
    // A checkout counts only with a flake.
    fs::create_dir(world.path("pvm-builds")).unwrap();
    assert!(world.kernel(&artifact).unwrap_err().to_string().contains("has no `flake.nix`"));
    world.file("pvm-builds/flake.nix", b"{}");
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert!(text.contains("`nix` is not on the PATH"), "{text}");
    // A configured path is no fallback to a standard kernel: it was named for PVM.
    let path = world.file("pvm-vmlinux", &samples::kernel("pvm"));
    let both = world.kernel_artifact(PVM, vec![flake(), path_source(&path)]);
    assert!(port_build::provenance(&world.kernel(&both).unwrap().entry).starts_with("path "));
}

#[test]
fn pu_37_the_flake_of_the_environment_goes_first_with_its_attribute() {
    let mut world = World::new();
    world.file("pvm-builds/flake.nix", b"{}");
    world.file("result/bzImage", &samples::kernel("pvm"));
    let script = format!("echo \"$@\" >>{0}/calls\necho {0}/result", world.directory.path().display());
    world.program("nix", &script);
    let artifact = world.kernel_artifact(PVM, vec![flake()]);
    world.kernel(&artifact).unwrap();
    world.lock = port_config::Lock::default();
    world.environment.pvm_flake_ref = Some("github:virt-pvm/builds".to_owned());
    world.environment.pvm_attribute = Some("packages.x86_64-linux.mine".to_owned());
    let built = world.kernel(&artifact).unwrap();
    assert_eq!(built.entry.outputs[0].digest, digest_of(&samples::kernel("pvm")));
    let calls = fs::read_to_string(world.path("calls")).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    assert!(calls[0].ends_with(&format!("pvm-builds#{PVM_FLAKE_ATTRIBUTE}")), "{calls:?}");
    assert!(calls[1].ends_with("github:virt-pvm/builds#packages.x86_64-linux.mine"), "{calls:?}");
    assert!(calls[1].contains("build --no-link --print-out-paths"), "{calls:?}");
}

#[test]
fn p_77_only_the_pvm_image_carries_the_markers() {
    if port_testkit::skip::tool("debugfs", "e2fsprogs").is_none() {
        return;
    }
    let mut world = World::new();
    for (variant, marked) in [(STANDARD, false), (PVM, true)] {
        let artifact = world.image_artifact(variant, recipe(ImageFormat::Ext4));
        world.image(&artifact, None).unwrap();
        let reader = ImageReader::open(&artifact.variants[0].path, ComponentFormat::Ext4).unwrap();
        for (path, text) in
            [("/etc/port-protection-mode", "pvm\n"), ("/etc/port-guest-architecture", "x86_64\n")]
        {
            assert_eq!(reader.exists(path).unwrap(), marked, "{variant} {path}");
            if marked {
                assert_eq!(reader.read_file(path, 100).unwrap(), text.as_bytes());
            }
        }
    }
}
