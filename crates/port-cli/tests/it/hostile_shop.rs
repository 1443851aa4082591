//! Directories that others fill: documents that lie, names that reach elsewhere, links, things in the way.

use serde_json::Value;

use crate::fixture::*;

const LANE: &str = "shop/demo-fs/port/root/v1/x86_64/firecracker/standard";

/// A pushed guest image with its initrd, whose documents `change` may rewrite; manifest and config stay consistent.
fn tampered(change: impl Fn(&mut Value, &mut Value)) -> port_testkit::project::Project {
    let project = project();
    project.write("g/x86_64/standard/rootfs.ext4", b"image");
    project.write("g/x86_64/standard/initrd.cpio.gz", b"initrd");
    succeed(&project, "push", "root");
    for local in ["g", ".port"] {
        std::fs::remove_dir_all(project.path().join(local)).unwrap();
    }
    let read =
        |name: &str| serde_json::from_slice::<Value>(&project.read(&format!("{LANE}/{name}"))).unwrap();
    let (mut manifest, mut config) = (read(".manifest.json"), read(".config.json"));
    change(&mut manifest, &mut config);
    let config = config.to_string();
    manifest["config"]["digest"] = port_content::hashing::digest_of(config.as_bytes()).to_string().into();
    manifest["config"]["size"] = config.len().into();
    project.write(&format!("{LANE}/.config.json"), config);
    project.write(&format!("{LANE}/.manifest.json"), manifest.to_string());
    project
}

#[test]
fn c_6_a_published_name_never_decides_where_a_file_is_written() {
    for name in ["port.toml", "rootfs.ext4", "other.cpio.gz"] {
        let project = tampered(|manifest, config| {
            config["bundle"]["components"][1]["file_name"] = name.into();
            manifest["layers"][1]["annotations"]["org.opencontainers.image.title"] = name.into();
        });
        let from = project.path().join(LANE).join("initrd.cpio.gz");
        if name != "rootfs.ext4" {
            std::fs::rename(from, project.path().join(LANE).join(name)).unwrap();
        }
        let before = project.read("port.toml");
        let ran = artifacts(&project, "pull", "root");
        assert_eq!(ran.code, 1, "{name}\n{ran}");
        assert_eq!(project.read("port.toml"), before);
        assert!(!project.exists("g"), "{ran}");
    }
}

#[test]
fn a_kernel_brings_no_initrd_and_an_image_no_kernel() {
    let project = tampered(|manifest, config| {
        config["bundle"]["components"][1]["kind"] = "kernel-dbg".into();
        manifest["layers"][1]["mediaType"] = "application/vnd.port.kernel-dbg.v1+binary".into();
    });
    let ran = artifacts(&project, "pull", "root");
    assert!(ran.code == 1 && ran.stderr.contains("kernel-dbg, which a guest-image has not"), "{ran}");
}

#[test]
fn a_config_that_the_manifest_does_not_name_is_refused() {
    let project = tampered(|_, _| {});
    let config = String::from_utf8(project.read(&format!("{LANE}/.config.json"))).unwrap();
    project.write(&format!("{LANE}/.config.json"), config.replace("guest-image", "guest-imago"));
    assert_eq!(artifacts(&project, "pull", "root").code, 1);
    project
        .write(&format!("{LANE}/.config.json"), config.replace("\"schema_version\"", " \"schema_version\""));
    let ran = artifacts(&project, "pull", "root");
    assert!(ran.code == 1 && ran.stderr.contains("not the one that its manifest names"), "{ran}");
    std::fs::remove_file(project.path().join(LANE).join(".config.json")).unwrap();
    let ran = artifacts(&project, "pull", "root");
    assert!(ran.code == 1 && ran.stderr.contains("`.config.json` is gone"), "{ran}");
}

#[test]
fn links_in_a_store_are_not_followed() {
    let project = project();
    project.write("secret", b"secret");
    std::fs::create_dir_all(project.path().join(LANE)).unwrap();
    std::os::unix::fs::symlink(project.path().join("secret"), project.path().join(LANE).join("rootfs.ext4"))
        .unwrap();
    let ran = artifacts(&project, "pull", "root");
    assert_eq!(ran.code, 5, "{ran}");
    assert!(!project.exists("g"));
    // A stray link beside a real file is nobody's business.
    std::fs::remove_file(project.path().join(LANE).join("rootfs.ext4")).unwrap();
    project.write(&format!("{LANE}/rootfs.ext4"), b"image");
    std::os::unix::fs::symlink("nowhere", project.path().join(LANE).join("stray")).unwrap();
    succeed(&project, "pull", "root");
}

#[test]
fn something_else_where_the_variant_should_be_stays() {
    let project = project();
    project.write("g/x86_64/standard/rootfs.ext4", b"image");
    project.write(LANE, b"a file");
    let ran = artifacts(&project, "push", "root");
    assert!(ran.code == 1 && ran.stderr.contains("something else than a directory"), "{ran}");
    assert_eq!(project.read(LANE), b"a file");
}

#[test]
fn a_path_that_is_wanted_for_something_else_is_refused_before_anything_is_written() {
    for taken in
        ["port.toml", "./port.toml", "port.lock", "source/vmlinux", ".port/store/index.json", "shop/vmlinux"]
    {
        let project = with_configuration(&CONFIGURATION.replacen("k/x86_64/standard/vmlinux", taken, 1));
        project.write("source/vmlinux", elf_kernel("x"));
        let ran = artifacts(&project, "build", "tiny");
        assert!(ran.code == 2 && ran.stderr.contains("would overwrite"), "{taken}\n{ran}");
        assert!(!project.exists(".port"));
    }
    let shared = with_configuration(&CONFIGURATION.replacen("port/root", "port/tiny", 1));
    let ran = artifacts(&shared, "push", "tiny");
    assert!(ran.code == 2 && ran.stderr.contains("both publish"), "{ran}");
}

#[test]
fn a_lost_index_stops_collection() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    succeed(&project, "push", "tiny");
    std::fs::remove_file(project.path().join(".port/store/index.json")).unwrap();
    let ran = project.port(&["store", "gc"]);
    assert!(ran.code == 1 && ran.stderr.contains("no `index.json`"), "{ran}");
    assert_eq!(std::fs::read_dir(project.path().join(".port/store/blobs/sha256")).unwrap().count(), 3);
}

#[test]
fn names_from_outside_do_not_drive_the_terminal() {
    let project = project();
    let ran = project.port(&["artifacts", "push", "--artifact", "a\u{1b}[31m"]);
    assert!(ran.code == 5 && !ran.stderr.contains('\u{1b}'), "{ran}");
}

#[test]
fn old_leftovers_go_and_young_ones_stay() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    succeed(&project, "push", "tiny");
    let lane = "shop/demo-fs/port/tiny/v1/x86_64/firecracker";
    let at = |name: &str| format!("{lane}/{name}.tmp");
    for (name, old) in [(".standard.abcdef", true), (".mine", true), (".standard.ghijkl", false)] {
        let path = project.write(&at(name), b"x");
        if old {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    }
    succeed(&project, "push", "tiny");
    assert!(!project.exists(&at(".standard.abcdef")));
    assert!(project.exists(&at(".standard.ghijkl")) && project.exists(&at(".mine")), "somebody's own");
}
