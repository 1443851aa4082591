//! Debian packages, with programs in the place of apt that note how they are called.

use std::fs;

use port_build::LockMode;
use port_config::{ImageFormat, KernelSource, Recipe};
use port_image::{Kind, Tree};

use crate::samples;
use crate::world::{ARM, STANDARD, World, recipe};

const NAME: &str = "linux-image-6.1.0-sample";

fn source() -> KernelSource {
    KernelSource::DebianPackage { package: "linux-image-sample".to_owned() }
}

/// An apt that knows a meta package and its kernel package.
fn install_apt(world: &World) {
    let package = samples::package(NAME, "6.1-1");
    let sha256 = port_content::hashing::digest_of(&package);
    world.file("archive.deb", &package);
    let root = world.directory.path().display();
    world.program(
        "apt-cache",
        &format!(
            "echo \"apt-cache $@\" >>{root}/calls\nfor last; do :; done\ncase $last in\n\
             linux-image-sample:amd64) printf 'Package: x\\nVersion: 6.1+1\\nDepends: {NAME} (= 6.1-1)\\n' ;;\n\
             {NAME}:amd64=6.1-1) printf 'Package: y\\nVersion: 6.1-1\\nDepends: kmod\\nSHA256: {}\\n' ;;\n\
             *) exit 100 ;;\nesac",
            sha256.hex()
        ),
    );
    let get = format!("echo \"apt-get $@\" >>{root}/calls\n/bin/cp {root}/archive.deb ./x.deb");
    world.program("apt-get", &get);
    world.program("dpkg", "true");
}

fn calls(world: &World) -> Vec<String> {
    let calls = fs::read_to_string(world.path("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

#[test]
fn a_meta_package_is_followed_and_what_it_resolved_to_is_pinned() {
    let mut world = World::new();
    install_apt(&world);
    let artifact = world.kernel_artifact(STANDARD, vec![source()]);
    let built = world.kernel(&artifact).unwrap();
    assert_eq!(built.entry.inputs[0].resolved, format!("{NAME}=6.1-1"));
    assert_eq!(built.entry.inputs[0].source, "debian-package linux-image-sample");
    let facts = built.entry.kernel.unwrap();
    assert_eq!(facts.release.as_deref(), Some(samples::RELEASE));
    assert!(facts.modules.contains(&"virtio_blk".to_owned()) && !facts.modules.contains(&"ext4".to_owned()));
    let asked = calls(&world);
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[2].ends_with(&format!("download -- {NAME}:amd64=6.1-1")), "{asked:?}");

    // The lock and the kept file are enough: no call at all.
    fs::remove_file(world.output(STANDARD, "vmlinux")).unwrap();
    assert!(world.kernel(&artifact).unwrap().fresh);
    assert_eq!(calls(&world).len(), 3);
    // An update asks apt what is newest, and fetches nothing where that is kept.
    world.lock_mode = LockMode::Update;
    world.kernel(&artifact).unwrap();
    assert_eq!(calls(&world).len(), 5);
    assert!(calls(&world).iter().skip(3).all(|call| call.starts_with("apt-cache ")));
    world.lock_mode = LockMode::Normal;
    // Without the kept file exactly the pinned version is asked for.
    fs::remove_dir_all(world.path(".port")).unwrap();
    fs::remove_file(world.output(STANDARD, "vmlinux")).unwrap();
    world.kernel(&artifact).unwrap();
    assert_eq!(calls(&world).len(), 6);
    // Other bytes under the pinned version are an error.
    fs::remove_dir_all(world.path(".port")).unwrap();
    fs::remove_file(world.output(STANDARD, "vmlinux")).unwrap();
    world.file("archive.deb", &samples::package(NAME, "6.1-2"));
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert!(text.contains("does not have the pinned bytes"), "{text}");
}

#[test]
fn a_missing_apt_package_or_architecture_is_said_with_the_command_that_helps() {
    let mut world = World::new();
    let artifact = world.kernel_artifact(STANDARD, vec![source()]);
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert!(text.contains("`apt-get` and `apt-cache` are not on the PATH"), "{text}");
    install_apt(&world);
    let unknown = KernelSource::DebianPackage { package: "linux-image-nothing".to_owned() };
    let text = world.kernel(&world.kernel_artifact(STANDARD, vec![unknown])).unwrap_err().to_string();
    assert!(
        text.contains("apt knows no package `linux-image-nothing:amd64`: run `apt-get update`"),
        "{text}"
    );
    let text = world.kernel(&world.kernel_artifact(ARM, vec![source()])).unwrap_err().to_string();
    assert!(text.contains("dpkg --add-architecture arm64 && apt-get update"), "{text}");
    world.program("apt-get", "echo 'E: Failed to fetch http://x Could not resolve' >&2; exit 100");
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert!(text.contains("Could not resolve"), "{text}");
    let option = KernelSource::DebianPackage { package: "-oDpkg::Pre-Invoke=x".to_owned() };
    let text = world.kernel(&world.kernel_artifact(STANDARD, vec![option])).unwrap_err().to_string();
    assert!(text.contains("expected the name of a Debian package"), "{text}");
}

#[test]
fn p_79_the_initrd_holds_what_the_kernel_lacks_in_load_order() {
    let mut world = World::new();
    install_apt(&world);
    let kernel = world.kernel_artifact(STANDARD, vec![source()]);
    world.kernel(&kernel).unwrap();
    let image = world.image_artifact(STANDARD, recipe(ImageFormat::Ext4));
    let built = world.image(&image, Some(&kernel)).unwrap();
    let facts = built.entry.kernel.unwrap();
    assert_eq!(facts.release.as_deref(), Some(samples::RELEASE));

    let bytes = fs::read(world.output(STANDARD, "initrd.cpio.gz")).unwrap();
    let tree = port_image::cpio::read_gz(&mut bytes.as_slice(), port_image::cpio::Limits::default()).unwrap();
    let names = |list: &str| -> Vec<String> {
        let text = text(&tree, list);
        let paths =
            text.lines().map(|line| line.rsplit('/').next().unwrap().trim_end_matches(".ko").to_owned());
        text.lines().for_each(|line| assert!(tree.get(line).is_some(), "{line} is listed and not there"));
        paths.collect()
    };
    assert_eq!(names("/modules.load"), ["virtio_ring", "virtio", "virtio_mmio", "virtio_blk"]);
    assert_eq!(names("/modules.overlay"), ["overlay"]);
    assert!(names("/modules.0x0013").ends_with(&["vmw_vsock_virtio_transport".to_owned()]));
    assert!(tree.get("/modules.0x0001").is_none(), "this kernel has no virtio_net");
    assert_eq!(text(&tree, "/rootfstypes"), "ext4 squashfs erofs\n");
    assert!(matches!(tree.get("/dev/console").unwrap().kind, Kind::CharDevice { major: 5, minor: 1 }));

    // A root file system that this kernel cannot mount is told now, not by a guest that stops.
    let squashfs = world.image_artifact(STANDARD, recipe(ImageFormat::Squashfs));
    let text = world.image(&squashfs, Some(&kernel)).unwrap_err().to_string();
    assert!(text.contains("squashfs needs the kernel module `squashfs`"), "{text}");
}

fn text(tree: &Tree, path: &str) -> String {
    match &tree.get(path).unwrap_or_else(|| panic!("no {path}")).kind {
        Kind::File(content) => String::from_utf8(content.read(1 << 20).unwrap()).unwrap(),
        other => panic!("{path} is a {}", other.word()),
    }
}

#[test]
fn p_82_the_modules_of_another_variant_are_refused() {
    let mut world = World::new();
    install_apt(&world);
    let kernel = world.kernel_artifact(STANDARD, vec![source()]);
    world.kernel(&kernel).unwrap();
    let pvm = world.image_artifact(crate::world::PVM, recipe(ImageFormat::Ext4));
    let text = world.image(&pvm, Some(&kernel)).unwrap_err().to_string();
    assert!(text.contains("variants are never mixed"), "{text}");
    assert!(!pvm.variants[0].path.exists());
    let named = Recipe { kernel: Some("demo-kernel".to_owned()), ..recipe(ImageFormat::Ext4) };
    let text = world.image(&world.image_artifact(STANDARD, named), None).unwrap_err().to_string();
    assert!(text.contains("needs the modules of the kernel `demo-kernel`"), "{text}");
}
