//! Guest images: what is in them, that they are always the same bytes, and what is refused.

use std::fs;
use std::path::Path;

use port_build::BuildError;
use port_config::{ImageFormat, Recipe};
use port_image::{ImageReader, Verdict, check_filesystem};
use port_model::{Architecture, ComponentFormat, Variant};
use port_testkit::skip;

use crate::samples;
use crate::world::{ARM, STANDARD, World, digests, recipe};

const FORMATS: [(ImageFormat, &str, &str); 3] = [
    (ImageFormat::Ext4, "debugfs", "e2fsprogs"),
    (ImageFormat::Squashfs, "mksquashfs", "squashfs-tools"),
    (ImageFormat::Erofs, "mkfs.erofs", "erofs-utils"),
];

fn with_files(world: &World, format: ImageFormat) -> Recipe {
    world.file("files/etc/motd", b"hello\n");
    world.file("files/usr/share/data/deep/file", &[7; 9000]);
    let directory = Some(world.path("files"));
    Recipe { directory, label: Some("port-demo-rootfs".to_owned()), ..recipe(format) }
}

#[test]
fn p_73_two_builds_in_two_folders_give_the_same_bytes() {
    let shared_memory = Path::new("/dev/shm");
    for (format, tool, package) in FORMATS {
        if skip::tool(tool, package).is_none() {
            continue;
        }
        let parent = if shared_memory.is_dir() { shared_memory } else { Path::new("/tmp") };
        let mut worlds = [World::new(), World::below(parent)];
        let built = worlds.each_mut().map(|world| {
            let artifact = world.image_artifact(STANDARD, with_files(world, format));
            world.image(&artifact, None).unwrap()
        });
        // What is published with it names no machine's directory either.
        assert_eq!(port_build::provenance(&built[0].entry), port_build::provenance(&built[1].entry));
        let built = built.each_ref().map(digests);
        assert_eq!(built[0].len(), 2);
        assert_eq!(built[0], built[1], "{format:?}");
    }
}

#[test]
fn p_73_p_75_p_76_every_format_holds_what_a_guest_needs() {
    for (format, tool, package) in FORMATS {
        if skip::tool(tool, package).is_none() {
            continue;
        }
        let mut world = World::new();
        let artifact = world.image_artifact(STANDARD, with_files(&world, format));
        world.image(&artifact, None).unwrap();
        let path = &artifact.variants[0].path;
        let report = check_filesystem(path, format.component_format()).unwrap();
        assert!(report.verdict == Verdict::Clean, "{report:?}");
        let reader = ImageReader::open(path, format.component_format()).unwrap();
        let read = |path: &str| String::from_utf8(reader.read_file(path, 1 << 20).unwrap()).unwrap();
        for path in [
            "/bin/busybox",
            "/usr/bin/port-guest-agent",
            "/etc/passwd",
            "/etc/group",
            "/bin/sh",
            "/run",
            "/dev",
        ] {
            assert!(reader.exists(path).unwrap(), "{format:?} {path}");
        }
        assert!(read("/init").contains("port-guest-agent --socket /run/port/guest-agent.sock --vsock-port"));
        assert_eq!(read("/etc/motd"), "hello\n");
        assert_eq!(read("/etc/hostname"), "port\n");
    }
}

#[test]
fn pu_39_pu_40_the_scripts_know_every_published_token() {
    for (script, tokens) in [
        (
            include_str!("../../guest/init"),
            &["guest_control_port", "hostname", "net_ip", "net_gateway", "net_prefix_len", "net_dns"][..],
        ),
        (include_str!("../../guest/initrd-init"), &["rootfs_overlay", "rootfs_overlay_device"][..]),
    ] {
        for token in tokens {
            assert!(script.contains(&format!(" port.{token}=*)")), "{token}");
        }
    }
}

#[test]
fn the_scripts_are_what_busybox_takes() {
    let Some(busybox) = skip::tool("busybox", "busybox-static") else { return };
    let scripts = ["init", "initrd-init", "initrd-hand-over", "initrd-visit", "visit-init"];
    for script in scripts.map(|name| format!("guest/{name}")) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&script);
        let output = std::process::Command::new(&busybox).args(["ash", "-n"]).arg(path).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn p_78_firecracker_guests_of_x86_64_have_an_initrd_and_others_none_without_a_kernel() {
    let mut world = World::new();
    world.file("arm-agent", &samples::elf(samples::AARCH64, b"agent"));
    world.file("arm-busybox", &samples::busybox(samples::AARCH64));
    let avf = Variant { substrate: port_model::Substrate::Avf, ..STANDARD };
    for (variant, expected) in [(STANDARD, 2), (avf, 1), (ARM, 1)] {
        let mut recipe = recipe(ImageFormat::Ext4);
        if variant.architecture == Architecture::Aarch64 {
            recipe.agent = Some(world.path("arm-agent"));
            recipe.busybox = Some(world.path("arm-busybox"));
        }
        let artifact = world.image_artifact(variant, recipe);
        let built = world.image(&artifact, None).unwrap();
        assert_eq!(built.entry.outputs.len(), expected, "{variant}");
    }
    let initrd = world.output(STANDARD, "initrd.cpio.gz");
    assert!(ImageReader::open(&initrd, ComponentFormat::CpioGz).unwrap().exists("/init").unwrap());
}

#[test]
fn p_72_a_dynamic_agent_brings_its_loader_and_libraries() {
    if skip::tool("debugfs", "e2fsprogs").is_none() {
        return;
    }
    // A program of this machine that is certainly dynamic: this test.
    let own = std::env::current_exe().unwrap();
    let mut world = World::new();
    world.environment.agent = vec![world.path("not-there"), own];
    let artifact = world.image_artifact(STANDARD, recipe(ImageFormat::Ext4));
    let built = match world.image(&artifact, None) {
        Err(BuildError::NoProgram { looked, .. }) => return skip::because(&looked.join("; ")),
        built => built.unwrap(),
    };
    let libraries: Vec<&str> =
        built.entry.inputs.iter().filter_map(|input| input.source.strip_prefix("library ")).collect();
    assert!(libraries.iter().any(|path| path.contains("/libc.so")), "{libraries:?}");
    assert!(libraries.iter().any(|path| path.contains("/ld-")), "{libraries:?}");
    let reader = ImageReader::open(&artifact.variants[0].path, ComponentFormat::Ext4).unwrap();
    for library in libraries {
        assert!(reader.exists(library).unwrap(), "{library}");
    }
}

#[test]
fn what_cannot_go_into_an_image_is_refused_and_replaces_nothing() {
    let mut world = World::new();
    let good = world.image_artifact(STANDARD, recipe(ImageFormat::Ext4));
    world.image(&good, None).unwrap();
    let before = fs::metadata(&good.variants[0].path).unwrap().modified().unwrap();
    let arm = world.file("arm", &samples::elf(samples::AARCH64, b"agent"));
    let script = world.file("script", b"#!/bin/sh\n");
    let base = recipe(ImageFormat::Ext4);
    let long = Some("a label that is too long".to_owned());
    for (recipe, expected) in [
        (
            Recipe { agent: Some(arm.clone()), ..base.clone() },
            "expected a program for x86_64, found a program for aarch64",
        ),
        (Recipe { agent: Some(script), ..base.clone() }, "found a script"),
        (Recipe { agent: Some(world.path("none")), ..base.clone() }, "cannot open"),
        (Recipe { busybox: Some(arm), ..base.clone() }, "BusyBox"),
        (
            Recipe { busybox: Some(world.path("agent")), ..base.clone() },
            "expected a static BusyBox for x86_64, found another program",
        ),
        (Recipe { hostname: Some("a b; reboot".to_owned()), ..base.clone() }, "`hostname` is not usable"),
        (Recipe { size_mib: Some(0), ..base.clone() }, "size"),
        (Recipe { label: long, ..base.clone() }, "label"),
        (Recipe { directory: Some(world.path("none")), ..base.clone() }, "none"),
    ] {
        let artifact = world.image_artifact(STANDARD, recipe);
        let text = world.image(&artifact, None).unwrap_err().to_string();
        assert!(text.contains(expected), "{expected}: {text}");
    }
    world.environment.agent.clear();
    let text = world.image(&good, None).unwrap_err().to_string();
    assert!(text.contains("there is no guest agent for x86_64"), "{text}");
    assert_eq!(fs::metadata(&good.variants[0].path).unwrap().modified().unwrap(), before);
}
