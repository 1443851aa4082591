//! `port base-images`: what a CI author types and reads, against a mirror of the bucket's real shape.

use std::process::Stdio;

use port_content::hashing::digest_of;
use port_testkit::mirror::{Fault, Mirror};
use port_testkit::project::{Project, Ran};
use port_testkit::registry::Registry;
use serde_json::{Value, json};

pub const KERNEL: &[u8] = b"\x7fELF a kernel";
pub const ROOTFS: &[u8] = b"hsqs a root";
const ID: &str = "latest-v1.15-x86_64-vmlinux-6.1.155-ubuntu-24.04.squashfs";

struct World {
    mirror: Mirror,
    project: Project,
}

impl World {
    fn new() -> Self {
        let mirror = Mirror::of_pair("v1.15.1", "x86_64", KERNEL, ROOTFS);
        Self { mirror, project: Project::new(env!("CARGO_BIN_EXE_port")) }
    }

    /// The words that lead a verb to the mirror and to a cache in the project.
    fn words(&self, verb: &str, more: &[&str]) -> Vec<String> {
        let mut words = vec!["base-images".to_owned(), verb.to_owned(), "--cache-dir=cache".to_owned()];
        if verb == "ensure" {
            words.push(format!("--bucket-url={}", self.mirror.bucket_url()));
            words.push(format!("--releases-url={}", self.mirror.releases_url()));
        }
        words.extend(more.iter().map(|&word| word.to_owned()));
        words
    }

    fn port(&self, verb: &str, more: &[&str]) -> Ran {
        let words = self.words(verb, more);
        self.hidden(self.project.port(&words.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// What a verb says as JSON.
    fn json(&self, verb: &str, more: &[&str]) -> Value {
        let ran = self.port(verb, &[more, &["--format", "json"]].concat());
        assert_eq!(ran.code, 0, "{ran}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// The code in a failure's JSON.
    fn code(&self, verb: &str, more: &[&str]) -> (i32, String) {
        let ran = self.port(verb, &[more, &["--format", "json"]].concat());
        let said = ran.stderr.lines().last().unwrap_or_default();
        let said: Value = serde_json::from_str(said).unwrap_or_else(|_| panic!("{ran}"));
        (ran.code, said["error"]["code"].as_str().unwrap().to_owned())
    }

    /// Without the mirror's port and without times.
    fn hidden(&self, ran: Ran) -> Ran {
        let bucket = self.mirror.bucket_url();
        let address = bucket.trim_end_matches("/bucket").to_owned();
        let hide = |text: String| {
            let text = text.replace(&address, "[MIRROR]");
            let words = text.split_inclusive([' ', '\n', '"']).map(|word| {
                let time = word.trim_end_matches([' ', '\n', '"']);
                if time.len() == 24 && time.ends_with('Z') {
                    word.replace(time, "[TIME]")
                } else {
                    word.to_owned()
                }
            });
            words.collect()
        };
        Ran { stdout: hide(ran.stdout), stderr: hide(ran.stderr), ..ran }
    }
}

#[test]
fn s_20_s_36_ensure_prints_the_bundle_for_people() {
    let world = World::new();
    insta::assert_snapshot!("base_images_prepared", world.port("ensure", &[]));
    insta::assert_snapshot!(
        "base_images_cached",
        world.port("ensure", &["--preset", "latest", "--paranoid"])
    );
}

#[test]
fn s_20_s_98_ensure_prints_the_bundles_manifest_as_json() {
    let world = World::new();
    let ran = world.port("ensure", &["--format", "json"]);
    insta::assert_snapshot!("base_images_json", ran);
    let words = world.words("ensure", &["--offline", "--format", "json"]);
    let ran = world.project.command(&words.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let recorded: Value =
        serde_json::from_slice(&world.project.read(&format!("cache/{ID}/manifest.json"))).unwrap();
    assert_eq!(said, recorded);
    assert_eq!(said["checksums"]["kernel"], digest_of(KERNEL).hex());
}

#[test]
fn s_100_an_empty_cache_lists_verifies_and_prunes() {
    let world = World::new();
    for verb in ["list", "verify"] {
        assert_eq!(world.json(verb, &[]), json!([]), "{verb}");
    }
    assert_eq!(world.json("prune", &[]), json!({ "evicted": [] }));
    world.project.write("cache2", b"a file");
    let ran = world.project.port(&["base-images", "list", "--cache-dir", "cache2", "--format", "json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "[]\n"), "{ran}");
}

#[test]
fn list_and_verify_for_people() {
    let world = World::new();
    world.port("ensure", &[]);
    insta::assert_snapshot!("base_images_list", world.port("list", &[]));
    insta::assert_snapshot!("base_images_verify", world.port("verify", &[]));
    let rootfs = format!("cache/{ID}/ubuntu-24.04.squashfs");
    std::fs::remove_file(world.project.path().join(&rootfs)).unwrap();
    world.project.write(&rootfs, b"hsqs a roof");
    let ran = world.port("verify", &[]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("the rootfs has another SHA-256"), "{ran}");
    assert!(ran.stderr.contains("1 base image is damaged"), "{ran}");
    // S-27: no bundle, which nothing deletes, and yet it is said.
    world.project.write("cache/latest-v1.14-torn/manifest.json", b"{");
    let ran = world.port("verify", &[]);
    assert!(ran.stdout.contains("latest-v1.14-torn") && ran.stdout.contains("`manifest.json`"), "{ran}");
    assert!(ran.stderr.contains("2 base images are damaged"), "{ran}");
}

#[test]
fn s_30_an_eviction_is_said_with_the_option_that_changes_the_limit() {
    let world = World::new();
    world.port("ensure", &[]);
    world.mirror.put_pair("v1.16", "x86_64", KERNEL, b"hsqs a newer root");
    world.mirror.release("v1.16.0");
    let ran = world.port("ensure", &["--max-stored", "1"]);
    insta::assert_snapshot!("base_images_evicted", ran);
    assert_eq!(world.json("list", &[]).as_array().unwrap().len(), 1);
}

#[test]
fn s_7_s_9_every_failure_carries_its_code() {
    let world = World::new();
    for limit in ["0", "-1", "two", "1.5"] {
        let found = world.code("ensure", &["--max-stored", limit]);
        assert_eq!(found, (2, "INVALID_BASE_IMAGE_CACHE_LIMIT".to_owned()), "{limit}");
    }
    let code = |more: &[&str]| world.code("ensure", more);
    assert_eq!(code(&["--preset", "hosted"]), (2, "BASE_IMAGE_MANIFEST_FAILED".to_owned()));
    assert_eq!(code(&["--manifest-path", "none.json"]), (5, "BASE_IMAGE_MANIFEST_FAILED".to_owned()));
    world.project.write("m.json", "{}");
    assert_eq!(code(&["--manifest-path", "m.json"]), (1, "INVALID_BASE_IMAGE_MANIFEST".to_owned()));
    assert_eq!(code(&["--preset", "lts"]), (5, "BASE_IMAGE_RESOLVE_FAILED".to_owned()));
    assert_eq!(code(&["--offline"]), (5, "BASE_IMAGE_RESOLVE_FAILED".to_owned()));
    world.mirror.fault("ubuntu-24.04.squashfs", Fault::Status(404));
    assert_eq!(code(&[]), (5, "BASE_IMAGE_PREPARE_FAILED".to_owned()));
    insta::assert_snapshot!("base_images_prepare_failed", world.port("ensure", &[]));
    world.mirror.fault("/releases/latest", Fault::Status(403));
    assert_eq!(code(&[]), (1, "VERSION_FETCH_FAILED".to_owned()));
}

#[test]
fn with_the_mirror_away_the_cached_one_is_handed_out_with_a_warning() {
    let world = World::new();
    assert_eq!(world.port("ensure", &[]).code, 0);
    let words = world.words("ensure", &[]);
    let World { mirror, project } = world;
    let address = mirror.bucket_url().trim_end_matches("/bucket").to_owned();
    drop(mirror);
    let ran = project.port(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.contains(ID) && ran.stdout.contains("cached, the newest one is not known"), "{ran}");
    assert!(ran.stderr.contains("warning: ") && ran.stderr.contains(&address), "{ran}");
    let more = [&words[..], &["--preset=lts".to_owned()]].concat();
    let ran = project.port(&more.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ran.code, 4, "{ran}");
    assert!(ran.stderr.contains("BASE_IMAGE_RESOLVE_FAILED"), "{ran}");
}

#[test]
fn c_32_eight_processes_that_want_one_bundle_fetch_it_once() {
    let rootfs: Vec<u8> =
        (0..9_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let mirror = Mirror::of_pair("v1.15.1", "x86_64", KERNEL, &rootfs);
    let world = World { mirror, project: Project::new(env!("CARGO_BIN_EXE_port")) };
    let words = world.words("ensure", &["--format", "json"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let running: Vec<_> = (0..8)
        .map(|_| world.project.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for process in running {
        let ran = world.project.ran(process.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(said["checksums"]["rootfs"], digest_of(&rootfs).hex());
        assert_eq!(said["sizes"]["rootfs"], rootfs.len());
    }
    // Two parts and a probe of the root, one part and a probe of the kernel: once.
    let requests = world.mirror.take_requests();
    let of = |name: &str| requests.iter().filter(|request| request.ends_with(name)).count();
    assert_eq!((of("/ubuntu-24.04.squashfs"), of("/vmlinux-6.1.155")), (3, 2), "{requests:?}");
    assert!(world.project.read(&format!("cache/{ID}/ubuntu-24.04.squashfs")) == rootfs);
}

#[test]
fn a_killed_ensure_leaves_nothing_half_and_is_continued() {
    let rootfs: Vec<u8> =
        (0..30_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
    let mirror = Mirror::of_pair("v1.15.1", "x86_64", KERNEL, &rootfs);
    let world = World { mirror, project: Project::new(env!("CARGO_BIN_EXE_port")) };
    let words = world.words("ensure", &[]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    world.mirror.fault("ubuntu-24.04.squashfs", Fault::Beyond(17_000_000));
    let mut process =
        world.project.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while world.mirror.sent() < 17_000_000 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // What was sent is on its way to the journal.
    std::thread::sleep(std::time::Duration::from_millis(100));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!world.project.exists(&format!("cache/{ID}")));
    world.mirror.heal();
    let before = world.mirror.sent();
    assert_eq!(world.port("ensure", &[]).code, 0);
    let again = world.mirror.sent() - before;
    assert!(again < rootfs.len() as u64 - 8_000_000, "{again} bytes came again");
    assert!(world.project.read(&format!("cache/{ID}/ubuntu-24.04.squashfs")) == rootfs);
}

#[test]
fn a_kill_at_any_point_leaves_the_old_bundle_or_the_new_one() {
    let world = World::new();
    let changed = b"hsqs another root";
    for (number, point) in port_content::failpoint::ALL.iter().enumerate() {
        for pass in 1..=6 {
            world.mirror.put("firecracker-ci/v1.15/x86_64/ubuntu-24.04.squashfs", ROOTFS);
            assert_eq!(world.port("ensure", &["--force-download"]).code, 0);
            world.mirror.put("firecracker-ci/v1.15/x86_64/ubuntu-24.04.squashfs", changed);
            let words = world.words("ensure", &["--force-download"]);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut command = world.project.command(&words);
            let ran = command.env("PORT_FAILPOINT", format!("{point}=kill:{pass}")).output().unwrap();
            let verified = world.json("verify", &[]);
            assert!(
                verified.as_array().unwrap().iter().all(|row| row["sound"] == true),
                "{number} {point} {pass}"
            );
            assert_eq!(verified.as_array().unwrap().len(), 1, "{point} {pass}");
            if ran.status.success() {
                break;
            }
        }
    }
    assert_eq!(world.port("ensure", &[]).code, 0);
}

#[test]
fn the_configuration_names_mirrors_cache_and_limit_and_flags_come_first() {
    let world = World::new();
    let text = format!(
        "[sources]\nfirecracker_ci_url = \"{}\"\nfirecracker_releases_url = \"{}\"\n[base_images]\ncache_directory = \"images\"\nmax_stored_images = 3\n",
        world.mirror.bucket_url(),
        world.mirror.releases_url()
    );
    world.project.write("port.toml", &text);
    assert_eq!(world.project.port(&["base-images", "ensure"]).code, 0);
    assert!(world.project.exists(&format!("images/{ID}/manifest.json")));
    assert_eq!(world.project.port(&["base-images", "ensure", "--cache-dir", "other"]).code, 0);
    assert!(world.project.exists(&format!("other/{ID}/manifest.json")));
    world.project.write("port.toml", text.replace("= 3", "= 0"));
    let ran = world.project.port(&["base-images", "prune"]);
    assert!(ran.code == 2 && ran.stderr.contains("INVALID_BASE_IMAGE_CACHE_LIMIT"), "{ran}");
    assert_eq!(world.project.port(&["base-images", "prune", "--max-stored", "1"]).code, 0);
}

#[test]
fn a_base_image_goes_to_a_registry_and_comes_back_elsewhere() {
    let (world, registry) = (World::new(), Registry::start());
    let made = world.json("ensure", &[]);
    let reference = format!("{}/base/images:v1", registry.host());
    let push = |id: &str| world.port("push", &[id, &reference, "--plain-http"]);
    let ran = push(ID);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(push("nothing").code, 5);
    assert!(registry.blob(&format!("sha256:{}", digest_of(ROOTFS).hex())).is_some());
    let from = |more: &[&str]| {
        let words = ["base-images", "ensure", "--cache-dir=other", "--plain-http", "--from", &reference];
        world.project.port(&[&words[..], &["--format", "json"], more].concat())
    };
    for more in [&[][..], &["--paranoid"], &["--offline"]] {
        let ran = from(more);
        assert_eq!(ran.code, 0, "{ran}");
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        for same in
            ["checksums", "sizes", "bootArgs", "rootfsType", "rootfsIsReadOnly", "firecrackerVersion", "arch"]
        {
            assert_eq!(said[same], made[same], "{same}");
        }
        assert_eq!(
            (&said["source"]["type"], &said["source"]["reference"]),
            (&json!("registry"), &json!(reference))
        );
        let kernel = said["kernelImagePath"].as_str().unwrap().replace("[PROJECT]/", "");
        assert_eq!(world.project.read(&kernel), KERNEL);
    }
    assert_eq!(from(&["--architecture", "aarch64"]).code, 5, "variants never fall back");
}
