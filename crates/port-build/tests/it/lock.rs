//! What `port.lock` pins, and what each mode does with it.

use std::fs;

use port_build::{BuildError, LockMode};
use port_config::ImageFormat;
use port_content::hashing::digest_of;
use port_testkit::http::{Answer, Server};

use crate::samples;
use crate::world::{STANDARD, World, path_source, recipe, url_source};

#[test]
fn locked_refuses_what_is_missing_or_changed_and_says_what() {
    let mut world = World::new();
    let path = world.file("vmlinux", &samples::kernel("old"));
    let mut artifact = world.kernel_artifact(STANDARD, vec![path_source(&path)]);
    world.lock_mode = LockMode::Locked;
    let error = world.kernel(&artifact).unwrap_err();
    assert!(matches!(error, BuildError::LockMissing { .. }), "{error}");

    world.lock_mode = LockMode::Normal;
    world.kernel(&artifact).unwrap();
    world.lock_mode = LockMode::Locked;
    assert!(!world.kernel(&artifact).unwrap().fresh);
    fs::remove_file(world.output(STANDARD, "vmlinux")).unwrap();
    assert!(world.kernel(&artifact).unwrap().fresh);

    world.file("vmlinux", &samples::kernel("new"));
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert!(
        text.contains("port.lock would change for `demo-kernel`, `x86_64/firecracker/standard`"),
        "{text}"
    );
    assert!(text.contains(&format!("found {}", digest_of(&samples::kernel("new")))), "{text}");

    let other = world.file("other", &samples::kernel("old"));
    artifact.variants[0].sources = vec![path_source(&other)];
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert!(text.contains("it was built from `path") && text.contains("and would be from `path"), "{text}");

    world.lock_mode = LockMode::Normal;
    assert!(world.kernel(&artifact).unwrap().fresh);
}

#[test]
fn update_asks_the_sources_anew_and_normal_does_not() {
    let kernel = samples::kernel("better");
    let server = Server::start(vec![Answer::new("404 Not Found", b""), Answer::new("200 OK", &kernel)]);
    let mut world = World::new();
    let path = world.file("vmlinux", &samples::kernel("second"));
    let sources = vec![url_source(server.url("/k"), &kernel), path_source(&path)];
    let artifact = world.kernel_artifact(STANDARD, sources);
    assert!(port_build::provenance(&world.kernel(&artifact).unwrap().entry).starts_with("path "));
    assert!(!world.kernel(&artifact).unwrap().fresh);
    assert_eq!(server.requests().len(), 1);
    world.lock_mode = LockMode::Update;
    assert!(port_build::provenance(&world.kernel(&artifact).unwrap().entry).starts_with("url "));
}

#[test]
fn a_pinned_source_out_of_reach_gives_way_to_another_one_unless_locked() {
    let kernel = samples::kernel("gone");
    let server = Server::start(vec![Answer::new("200 OK", &kernel), Answer::new("404 Not Found", b"")]);
    let mut world = World::new();
    let path = world.file("vmlinux", &samples::kernel("second"));
    let sources = vec![url_source(server.url("/k"), &kernel), path_source(&path)];
    let artifact = world.kernel_artifact(STANDARD, sources);
    world.kernel(&artifact).unwrap();
    fs::remove_file(world.output(STANDARD, "vmlinux")).unwrap();
    fs::remove_dir_all(world.path(".port")).unwrap();
    world.lock_mode = LockMode::Locked;
    let error = world.kernel(&artifact).unwrap_err();
    assert!(matches!(error, BuildError::NoneReached { .. }), "{error}");
    world.lock_mode = LockMode::Normal;
    assert!(port_build::provenance(&world.kernel(&artifact).unwrap().entry).starts_with("path "));
    assert!(world.notes().contains("the locked source `url "), "{}", world.notes());
}

#[test]
fn a_guest_image_is_built_again_only_where_something_that_goes_in_changed() {
    let mut world = World::new();
    let mut recipe = recipe(ImageFormat::Ext4);
    world.file("files/etc/motd", b"hello\n");
    recipe.directory = Some(world.path("files"));
    let artifact = world.image_artifact(STANDARD, recipe.clone());
    assert!(world.image(&artifact, None).unwrap().fresh);
    let started = std::time::Instant::now();
    assert!(!world.image(&artifact, None).unwrap().fresh);
    let took = started.elapsed();
    println!("up to date after {took:?}");

    let mut hostname = artifact.clone();
    hostname.variants[0].recipe.as_mut().unwrap().hostname = Some("other".to_owned());
    world.lock_mode = LockMode::Locked;
    let text = world.image(&hostname, None).unwrap_err().to_string();
    assert!(text.contains("`recipe` changed: locked sha256:"), "{text}");
    for (name, bytes, changed) in [
        ("agent", samples::elf(samples::X86_64, b"agent 2"), "`agent` changed"),
        ("files/etc/motd", b"goodbye\n".to_vec(), "`directory "),
        ("busybox", [samples::busybox(samples::X86_64), vec![0]].concat(), "`busybox` changed"),
    ] {
        world.lock_mode = LockMode::Locked;
        world.file(name, &bytes);
        let text = world.image(&artifact, None).unwrap_err().to_string();
        assert!(text.contains(changed), "{text}");
        world.lock_mode = LockMode::Normal;
        assert!(world.image(&artifact, None).unwrap().fresh, "{name}");
        assert!(!world.image(&artifact, None).unwrap().fresh, "{name}");
    }
    // A damaged output is an output that is not there.
    fs::write(world.output(STANDARD, "initrd.cpio.gz"), b"torn").unwrap();
    world.lock_mode = LockMode::Locked;
    assert!(world.image(&artifact, None).unwrap().fresh);
}
