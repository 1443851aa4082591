//! Kernels from their sources, and what is refused.

use std::fs;

use port_build::BuildError;
use port_config::{ImageFormat, KernelSource};
use port_content::hashing::digest_of;
use port_testkit::http::{Answer, Server};

use crate::samples;
use crate::world::{ARM, STANDARD, World, digests, path_source, recipe, url_source};

#[test]
fn p_66_the_first_source_that_can_be_reached_is_used_said_and_recorded() {
    let kernel = samples::kernel("url");
    let server = Server::start(vec![Answer::new("404 Not Found", b""), Answer::new("200 OK", &kernel)]);
    let mut world = World::new();
    world.sources.firecracker_ci_url = server.url("/bucket");
    let key = "firecracker-ci/v1.14/x86_64/vmlinux-6.1.155".to_owned();
    let pinned = KernelSource::FirecrackerCi { key, sha256: digest_of(b"never sent") };
    let sources = vec![pinned, url_source(server.url("/vmlinux"), &kernel)];
    let artifact = world.kernel_artifact(STANDARD, sources);

    let built = world.kernel(&artifact).unwrap();
    assert!(built.fresh);
    assert!(fs::read(world.output(STANDARD, "vmlinux")).unwrap() == kernel);
    assert!(built.entry.inputs[0].source.starts_with("url http://127.0.0.1:"), "{:?}", built.entry.inputs);
    assert_eq!(built.entry.kernel.as_ref().unwrap().release.as_deref(), Some(samples::RELEASE));
    let notes = world.notes();
    assert!(notes.contains("skipped the source `firecracker-ci firecracker-ci/v1.14"), "{notes}");
    assert!(notes.contains("the server answered 404"), "{notes}");
    let asked = server.requests();
    assert!(asked[0].starts_with("GET /bucket/firecracker-ci/v1.14/x86_64/vmlinux-6.1.155 "), "{asked:?}");

    // Again: nothing to do. Without the output: from the kept download, without a request.
    assert!(!world.kernel(&artifact).unwrap().fresh);
    fs::remove_file(world.output(STANDARD, "vmlinux")).unwrap();
    let again = world.kernel(&artifact).unwrap();
    assert!(again.fresh);
    assert_eq!(digests(&again), digests(&built));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn wrong_bytes_are_an_error_and_never_a_reason_to_try_the_next_source() {
    let server = Server::start(vec![Answer::new("200 OK", &samples::kernel("forged"))]);
    let mut world = World::new();
    let good = world.file("vmlinux", &samples::kernel("good"));
    let sources = vec![url_source(server.url("/k"), &samples::kernel("pinned")), path_source(&good)];
    let artifact = world.kernel_artifact(STANDARD, sources);
    let error = world.kernel(&artifact).unwrap_err();
    assert!(matches!(error, BuildError::WrongBytes { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("expected {}", digest_of(&samples::kernel("pinned")))), "{text}");
    assert!(!world.output(STANDARD, "vmlinux").exists());
    assert_eq!(fs::read_dir(world.path(".port/downloads")).unwrap().count(), 0);
}

#[test]
fn a_damaged_download_is_fetched_again() {
    let kernel = samples::kernel("url");
    let server = Server::start(vec![Answer::new("200 OK", &kernel), Answer::new("200 OK", &kernel)]);
    let mut world = World::new();
    let artifact = world.kernel_artifact(STANDARD, vec![url_source(server.url("/k"), &kernel)]);
    world.kernel(&artifact).unwrap();
    fs::remove_file(world.output(STANDARD, "vmlinux")).unwrap();
    let kept = world.path(".port/downloads").join(digest_of(&kernel).hex());
    fs::write(&kept, b"rotten").unwrap();
    world.kernel(&artifact).unwrap();
    assert!(fs::read(kept).unwrap() == kernel);
    assert!(world.notes().contains("is damaged and is fetched again"));
}

#[test]
fn one_source_can_be_forced_by_kind_or_number() {
    let mut world = World::new();
    let (first, second) =
        (world.file("first", &samples::kernel("1")), world.file("second", &samples::kernel("2")));
    let url = url_source("http://127.0.0.1:9/k".to_owned(), b"k");
    let artifact = world.kernel_artifact(STANDARD, vec![path_source(&first), url, path_source(&second)]);
    world.source = Some("3".to_owned());
    assert_eq!(world.kernel(&artifact).unwrap().entry.outputs[0].digest, digest_of(&samples::kernel("2")));
    for (asked, expected) in [
        ("url", "no source of `demo-kernel` for `x86_64/firecracker/standard` can be reached"),
        ("path", "has no source `path`"),
        ("debian-package", "has no source `debian-package`"),
        ("0", "has no source `0`"),
        ("4", "\n  3: path "),
    ] {
        world.source = Some(asked.to_owned());
        let text = world.kernel(&artifact).unwrap_err().to_string();
        assert!(text.contains(expected), "{asked}: {text}");
    }
}

#[test]
fn p_70_an_empty_a_cut_or_a_foreign_kernel_replaces_nothing() {
    let mut world = World::new();
    world.file("vmlinux", &samples::kernel("good"));
    let mut artifact = world.kernel_artifact(STANDARD, vec![path_source(&world.path("vmlinux"))]);
    let good = world.kernel(&artifact).unwrap();
    let cut = samples::kernel("cut");
    for (bytes, expected) in [
        (&b""[..], "found an empty file"),
        (&cut[..cut.len() - 40], "truncated"),
        (&samples::elf(samples::AARCH64, b"x"), "another architecture"),
        (b"<!doctype html>", "an HTML page"),
    ] {
        world.file("vmlinux", bytes);
        let text = world.kernel(&artifact).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
        assert_eq!(
            digest_of(&fs::read(world.output(STANDARD, "vmlinux")).unwrap()),
            good.entry.outputs[0].digest
        );
    }
    artifact.variants[0].variant = ARM;
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert!(text.contains("HTML"), "{text}");
    artifact.variants[0].sources.clear();
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert_eq!(
        text,
        "`demo-kernel` cannot be built for `aarch64/firecracker/standard`: its configuration has no sources"
    );
}

#[test]
fn a_directory_of_modules_belongs_to_a_kernel_file() {
    let mut world = World::new();
    let path = world.file("vmlinux", &samples::kernel("k"));
    let modules = world.path(&format!("modules/{}", samples::RELEASE));
    let mut list = String::new();
    for (name, depends) in samples::MODULES {
        world.file(&format!("modules/{}/kernel/{name}.ko", samples::RELEASE), &samples::module(depends));
        let depends = depends.split(',').filter(|name| !name.is_empty());
        let depends: String = depends.map(|name| format!(" kernel/{name}.ko")).collect();
        list.push_str(&format!("kernel/{name}.ko:{depends}\n"));
    }
    world.file(&format!("modules/{}/modules.dep", samples::RELEASE), list.as_bytes());
    let source = KernelSource::Path { path, sha256: None, modules: Some(modules) };
    let artifact = world.kernel_artifact(STANDARD, vec![source]);
    let built = world.kernel(&artifact).unwrap();
    let names = built.entry.kernel.unwrap().modules;
    let position = |name: &str| names.iter().position(|found| found == name).unwrap();
    assert!(
        position("virtio_ring") < position("virtio") && position("virtio") < position("virtio_blk"),
        "{names:?}"
    );
    // A change among the modules is a change of the input.
    world.file(&format!("modules/{}/kernel/vsock.ko", samples::RELEASE), &samples::module("virtio"));
    assert!(world.kernel(&artifact).unwrap().fresh);
}

#[test]
fn a_kernel_without_modules_is_told_and_one_that_cannot_boot_is_refused() {
    let built_in = "CONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_BLK=y\nCONFIG_EXT4_FS=y\n";
    let refused = |text: Option<&str>| text.map(str::to_owned);
    for (config, note, refusal) in [
        (None, true, None),
        (Some(built_in.to_owned()), false, None),
        (
            Some(built_in.replace("BLK=y", "BLK=m")),
            false,
            refused(Some("virtio-blk needs the kernel module")),
        ),
        (
            Some(built_in.replace("CONFIG_EXT4_FS=y", "")),
            false,
            refused(Some("ext4 needs the kernel module")),
        ),
        (Some(built_in.replace("MMIO=y", "MMIO=m")), false, refused(Some("virtio-mmio or virtio-pci needs"))),
    ] {
        let mut world = World::new();
        let bytes = config.as_deref().map_or_else(|| samples::kernel("k"), samples::kernel_with_config);
        let path = world.file("vmlinux", &bytes);
        let kernel = world.kernel_artifact(STANDARD, vec![path_source(&path)]);
        let facts = world.kernel(&kernel).unwrap().entry.kernel.unwrap();
        assert!(facts.modules.is_empty(), "{facts:?}");
        assert_eq!(world.notes().contains("kernel `demo-kernel` brings no modules"), note, "{config:?}");
        let mut recipe = recipe(ImageFormat::Ext4);
        recipe.kernel = Some("demo-kernel".to_owned());
        let image = world.image_artifact(STANDARD, recipe);
        match (world.image(&image, Some(&kernel)), refusal) {
            (Err(error), Some(words)) => {
                assert!(error.to_string().contains(&words), "{error}");
                assert!(!world.output(STANDARD, "rootfs.ext4").exists());
            }
            (Ok(built), None) => {
                let sources: Vec<&str> =
                    built.entry.inputs.iter().map(|input| input.source.as_str()).collect();
                assert!(sources.contains(&"kernel-release demo-kernel"), "{sources:?}");
                assert!(sources.iter().all(|source| !source.starts_with("modules")), "{sources:?}");
                let provenance = port_build::provenance(&built.entry);
                assert!(!provenance.contains("modules"), "{provenance}");
            }
            (built, refusal) => panic!("{config:?}: expected {refusal:?}, found {built:?}"),
        }
    }
}

#[test]
fn a_local_source_is_looked_at_before_it_is_hashed() {
    let mut world = World::new();
    let path = world.file("vmlinux", b"");
    let artifact = world.kernel_artifact(STANDARD, vec![path_source(&path)]);
    fs::File::options().write(true).open(&path).unwrap().set_len(60 << 30).unwrap();
    let text = world.kernel(&artifact).unwrap_err().to_string();
    assert!(text.contains("is too large: expected at most 1073741824 bytes"), "{text}");
    fs::remove_file(&path).unwrap();
    let error = world.kernel(&artifact).unwrap_err();
    assert!(matches!(error, BuildError::NoneThere { .. }), "{error}");
    assert!(error.to_string().contains("does not exist"), "{error}");
    fs::create_dir(&path).unwrap();
    let error = world.kernel(&artifact).unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert!(cause.is_some_and(|cause| cause.contains("not a regular file")), "{error}");
}
