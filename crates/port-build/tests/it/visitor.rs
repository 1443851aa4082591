//! Initrds for roots that know nothing of Port.

use port_build::{BuildError, VisitedRoot};
use port_config::ImageFormat;
use port_image::cpio::{self, Limits};
use port_image::{Kind, Tree};
use port_model::Architecture;
use port_testkit::skip;

use crate::samples;
use crate::world::World;

/// The initrd of a world, for a kernel of these bytes; the root is not looked into.
fn initrd(world: &World, kernel: &[u8]) -> Result<Tree, BuildError> {
    let root = VisitedRoot {
        kernel: &world.file("vmlinux", kernel),
        rootfs: &world.file("rootfs.ext4", b"a root"),
        format: ImageFormat::Ext4,
        architecture: Architecture::X86_64,
        modules: None,
        named: &[],
    };
    let output = world.path("initrd.cpio");
    world.visitor(&root, &output)?;
    let mut file = std::fs::File::open(output).unwrap();
    Ok(cpio::read(&mut file, Limits::default()).unwrap())
}

fn bytes(tree: &Tree, path: &str) -> Vec<u8> {
    match &tree.get(path.as_bytes()).unwrap().kind {
        Kind::File(content) => content.read(1 << 24).unwrap(),
        other => panic!("{path} is {other:?}"),
    }
}

fn text(tree: &Tree, path: &str) -> String {
    String::from_utf8(bytes(tree, path)).unwrap()
}

#[test]
fn a_visitor_brings_all_that_it_needs_and_mounts_as_every_initrd_does() {
    let world = World::new();
    let tree = initrd(&world, b"a kernel that says nothing of itself").unwrap();
    let init = text(&tree, "/init");
    assert!(init.starts_with(include_str!("../../guest/initrd-init")), "{init}");
    assert!(init.ends_with("exec switch_root /newroot /run/port/busybox sh /run/port/init\n"), "{init}");
    assert!(text(&tree, "/visit/init").contains(" port.guest_control_port=*)"));
    assert_eq!(bytes(&tree, "/visit/agent"), samples::elf(samples::X86_64, b"agent"));
    assert_eq!(bytes(&tree, "/visit/busybox"), bytes(&tree, "/bin/busybox"));
    assert!(tree.get(b"/bin/cp").is_some() && tree.get(b"/visit/lib").is_none());
    assert!(world.notes().contains("does not say what is built in"), "{}", world.notes());
    // The same bytes again.
    let first = std::fs::read(world.path("initrd.cpio")).unwrap();
    initrd(&world, b"a kernel that says nothing of itself").unwrap();
    assert!(std::fs::read(world.path("initrd.cpio")).unwrap() == first);
}

#[test]
fn a_dynamic_agent_is_started_by_the_loader_that_it_brings() {
    let mut world = World::new();
    // A program of this machine that is certainly dynamic: this test.
    world.environment.agent = vec![std::env::current_exe().unwrap()];
    let tree = match initrd(&world, b"a kernel") {
        Err(BuildError::NoProgram { looked, .. }) => return skip::because(&looked.join("; ")),
        tree => tree.unwrap(),
    };
    assert!(tree.get(b"/visit/lib/loader").is_some());
    assert!(tree.get(b"/visit/lib/libc.so.6").is_some());
}

#[test]
fn without_an_agent_nothing_is_made() {
    let mut world = World::new();
    world.environment.agent = vec![world.path("not-there")];
    let error = initrd(&world, b"a kernel").unwrap_err();
    assert!(matches!(error, BuildError::NoProgram { what: "guest agent", .. }), "{error}");
    assert!(!world.path("initrd.cpio").exists());
}

#[test]
fn a_kernel_that_says_that_it_has_all_needs_no_modules() {
    let world = World::new();
    let config = "CONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_BLK=y\nCONFIG_EXT4_FS=y\nCONFIG_VIRTIO_CONSOLE=y\n";
    let tree = initrd(&world, &samples::kernel_with_config(config)).unwrap();
    assert!(tree.get(b"/lib/modules").is_none());
    assert_eq!(world.notes(), "");
}
