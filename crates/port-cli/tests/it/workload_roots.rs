//! Roots of workloads that come out of a registry, the project, the store and a base image: judged, then mounted as they lie.

use std::path::PathBuf;
use std::process::Command;

use port_testkit::mirror::Mirror;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::Registry;
use port_testkit::skip;

use crate::registry::ANONYMOUS;
use crate::trust::{done, key};
use crate::workload_run::{manifest, nothing_is_left, project, run, verb};

const POLICY: &str = "version = 1\n[keys]\nalice = { path = \"a.pub\" }\n[[rules]]\nreferences = [\"*/port/*\"]\nkeys = [\"alice\"]\n";
const SAYS: &str = "touch /var/x && echo $((6 * 7))";

/// A project with a root as an image, made by `tool`.
fn with_image(tool: &str, package: &str, arguments: &[&str]) -> Option<Project> {
    let (tool, project) = (skip::tool(tool, package)?, project()?);
    let made = Command::new(tool).args(arguments).current_dir(project.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(project)
}

fn erofs() -> Option<Project> {
    with_image("mkfs.erofs", "erofs-utils", &["rootfs.erofs", "root"])
}

/// Adds a `port.toml` with the guest image `root` in the registry.
fn publish(project: &Project, registry: &Registry) {
    let backend = format!("{{ backend = \"oci-registry\", {ANONYMOUS} }}");
    let selector = format!(
        "{{ architecture = \"{}\", substrate = \"firecracker\", protection_mode = \"standard\" }}",
        std::env::consts::ARCH
    );
    let text = format!(
        "[artifacts.guest_images.root]\nreference = {{ registry = \"{}\", repository = \"port/root\", version = \"v1\" }}\n\
         distribution = {{ push = {backend}, pull = {backend} }}\nvariants = [{{ path = \"rootfs.erofs\", selector = {selector} }}]\n",
        registry.host()
    );
    project.write("port.toml", text);
    done(project, &["artifacts", "push", "--artifact", "root"]);
}

/// Runs a workload that stands on `rootfs`; `None` where this kernel cannot mount such an image.
fn stand(project: &Project, name: &str, rootfs: &str, more: &[&str]) -> Option<Ran> {
    manifest(project, name, "");
    let file = format!("{name}.toml");
    let text = String::from_utf8(project.read(&file)).unwrap();
    project.write(&file, text.replace("rootfs = \"root\"", &format!("rootfs = \"{rootfs}\"")));
    let words = ["workload", "run", &file, "--workloads", "rooms", "--plain-http"];
    let ran = project.port(&[&words[..], more, &["--", "sh", "-c", SAYS]].concat());
    if ran.stderr.contains("unknown filesystem type") || ran.stderr.contains("loop device") {
        skip::because("this kernel cannot mount the image");
        return None;
    }
    Some(ran)
}

fn blobs_fetched(registry: &Registry) -> usize {
    let fetches = |request: &&port_testkit::registry::Request| {
        request.method == "GET" && request.target.contains("/blobs/")
    };
    registry.requests().iter().filter(fetches).count()
}

#[test]
fn v_39_c_46_a_root_from_a_registry_is_the_stores_file_and_fetched_once() {
    let Some(project) = erofs() else { return };
    let registry = Registry::start();
    publish(&project, &registry);
    for path in [".port", "port.toml", "rootfs.erofs", "port.lock"] {
        let path = project.path().join(path);
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
    }
    // Without a project: what is fetched lies in the user's cache directory.
    let root = format!("oci://{}/port/root:v1", registry.host());
    let Some(first) = stand(&project, "web", &root, &[]) else { return };
    assert_eq!((first.code, first.stdout.as_str()), (0, "42\n"), "{first}");
    let fetched = blobs_fetched(&registry);
    assert!(fetched > 0);
    let job = String::from_utf8(project.read("rooms/web/job.json")).unwrap();
    assert!(job.contains("/.cache/port/store/blobs/sha256/"), "it is no copy: {job}");
    let second = stand(&project, "web", &root, &[]).unwrap();
    assert_eq!(second.stdout, "42\n", "{second}");
    // Its description is asked for again, and nothing of its files.
    assert!(blobs_fetched(&registry) - fetched <= 1, "{:?}", registry.requests());
    let other = stand(&project, "other", &root, &["--substrate", "qemu"]).unwrap();
    assert_eq!(other.code, 1, "{other}");
    assert!(other.stderr.contains("holds no root file system for this workload: no guest-image"), "{other}");
    assert!(!project.exists("rooms/other"));
    nothing_is_left(&project);
}

#[test]
fn v_39_c_46_a_policy_is_asked_about_roots_from_a_registry_and_the_project() {
    let Some(project) = erofs() else { return };
    let registry = Registry::start();
    publish(&project, &registry);
    project.write("trust.toml", POLICY);
    key(&project, "a.key", "p256");
    let published = format!("oci://{}/port/root:v1", registry.host());
    for root in [published.as_str(), "artifact://root"] {
        let Some(ran) = stand(&project, "web", root, &[]) else { return };
        assert_eq!(ran.code, 3, "{root}: {ran}");
        assert!(!project.exists("rooms/web"), "{ran}");
    }
    done(&project, &["artifacts", "sign", "--artifact", "root", "--key", "a.key"]);
    done(&project, &["artifacts", "pull", "--artifact", "root"]);
    for root in [published.as_str(), "artifact://root"] {
        let ran = stand(&project, "web", root, &[]).unwrap();
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "42\n"), "{root}: {ran}");
    }
    let ran = stand(&project, "none", "artifact://nobody", &[]).unwrap();
    assert_eq!(ran.code, 5, "{ran}");
    assert!(ran.stderr.contains("there is no artifact `nobody`"), "{ran}");
    nothing_is_left(&project);
}

#[test]
fn vu_19_a_damaged_root_of_the_store_is_not_mounted() {
    let Some(project) = erofs() else { return };
    let bytes = project.read("rootfs.erofs");
    let digest = Registry::start().add_blob(&bytes);
    let blob = format!(".port/store/blobs/{}", digest.replace(':', "/"));
    project.write(&blob, &bytes);
    let root = format!("cas://{digest}");
    let Some(ran) = stand(&project, "web", &root, &[]) else { return };
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "42\n"), "{ran}");
    let mut damaged = bytes;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    project.write(&blob, damaged);
    let ran = stand(&project, "web", &root, &[]).unwrap();
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("is damaged in the local store"), "{ran}");
    let ran = stand(&project, "gone", &format!("cas://sha256:{}", "0".repeat(64)), &[]).unwrap();
    assert_eq!(ran.code, 5, "{ran}");
}

#[test]
fn c_46_a_root_may_be_a_base_images() {
    let arguments = ["root", "rootfs.squashfs", "-quiet", "-no-progress", "-all-root"];
    let Some(project) = with_image("mksquashfs", "squashfs-tools", &arguments) else { return };
    let arch = std::env::consts::ARCH;
    let mirror = Mirror::of_pair("v1.15.1", arch, b"\x7fELF a kernel", &project.read("rootfs.squashfs"));
    let configuration = format!(
        "[sources]\nfirecracker_ci_url = \"{}\"\nfirecracker_releases_url = \"{}\"\n[base_images]\ncache_directory = \"images\"\n",
        mirror.bucket_url(),
        mirror.releases_url()
    );
    project.write("port.toml", configuration);
    let Some(ran) = stand(&project, "web", "base-image://latest", &[]) else { return };
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "42\n"), "{ran}");
    let images: PathBuf = project.path().join("images");
    let job = String::from_utf8(project.read("rooms/web/job.json")).unwrap();
    assert!(job.contains(&images.canonicalize().unwrap().display().to_string()), "{job}");
    let ran = stand(&project, "other", "base-image://newest", &[]).unwrap();
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("`storage.rootfs` is `base-image://newest`: `newest` is not"), "{ran}");
    let ran = run(&project, "web", "true");
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(verb(&project, &["remove", "web"]).code, 0);
    nothing_is_left(&project);
}
