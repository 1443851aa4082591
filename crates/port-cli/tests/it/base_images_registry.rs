//! `port base-images ensure --from`: with the registry away, fetched anew, and under a policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use port_content::hashing::digest_of;
use port_testkit::mirror::Mirror;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};

use crate::base_images::{KERNEL, ROOTFS};
use crate::trust::{done, key};

const POLICY: &str = "version = 1\n[keys]\nalice = { path = \"a.pub\" }\n[[rules]]\nreferences = [\"*/base/*\"]\nkeys = [\"alice\"]\n";

/// A base image in a registry, and a project that never saw it.
struct World {
    registry: Registry,
    project: Project,
    reference: String,
    /// While it is set, a gateway says that nobody answers.
    away: Arc<AtomicBool>,
}

impl World {
    fn new() -> Self {
        let mirror = Mirror::of_pair("v1.15.1", "x86_64", KERNEL, ROOTFS);
        let away = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&away);
        let hook = move |_: &Request| match seen.load(Ordering::SeqCst) {
            true => Action::Answer(Reply::new(503, b"")),
            false => Action::Pass,
        };
        let registry = Registry::with(Abilities::default(), Box::new(hook));
        let project = Project::new(env!("CARGO_BIN_EXE_port"));
        let reference = format!("{}/base/images:v1", registry.host());
        let (bucket, releases) = (mirror.bucket_url(), mirror.releases_url());
        done(
            &project,
            &[
                "base-images",
                "ensure",
                "--cache-dir=made",
                "--bucket-url",
                &bucket,
                "--releases-url",
                &releases,
            ],
        );
        let id = "latest-v1.15-x86_64-vmlinux-6.1.155-ubuntu-24.04.squashfs";
        done(&project, &["base-images", "push", id, &reference, "--cache-dir=made", "--plain-http"]);
        Self { registry, project, reference, away }
    }

    fn ensure(&self, more: &[&str]) -> Ran {
        self.ensure_from(&self.reference, more)
    }

    fn ensure_from(&self, reference: &str, more: &[&str]) -> Ran {
        let words = ["base-images", "ensure", "--cache-dir=cache", "--plain-http", "--from", reference];
        self.project.port(&[&words[..], more].concat())
    }

    fn go_away(&self) {
        self.away.store(true, Ordering::SeqCst);
    }

    /// How often the root was fetched.
    fn fetches(&self) -> usize {
        let blob = format!("/blobs/sha256:{}", digest_of(ROOTFS).hex());
        let requests = self.registry.requests();
        requests.iter().filter(|request| request.method == "GET" && request.target.ends_with(&blob)).count()
    }

    fn sign(&self) {
        let words = ["artifacts", "sign", "--plain-http", &self.reference, "--key", "a.key"];
        done(&self.project, &words);
    }
}

#[test]
fn with_the_registry_away_the_cached_one_is_handed_out_with_a_warning() {
    let world = World::new();
    assert_eq!(world.ensure(&[]).code, 0);
    world.go_away();
    let ran = world.ensure(&[]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.contains("cached, the newest one is not known"), "{ran}");
    assert!(ran.stderr.contains("warning: ") && ran.stderr.contains("there may be a newer one"), "{ran}");
    for (reference, more) in
        [(&world.reference, &["--force-download"][..]), (&world.reference.replace(":v1", ":v2"), &[])]
    {
        let ran = world.ensure_from(reference, more);
        assert_eq!(ran.code, 4, "{reference} {more:?}: {ran}");
    }
}

#[test]
fn a_forced_download_fetches_every_byte_and_replaces_what_rotted() {
    let world = World::new();
    for _ in 0..2 {
        assert_eq!(world.ensure(&[]).code, 0);
        assert_eq!(world.fetches(), 1, "a hit fetches no file");
    }
    // The blob is damaged without a trace in its size.
    let blob = format!("cache/.store/blobs/sha256/{}", digest_of(ROOTFS).hex());
    std::fs::remove_file(world.project.path().join(&blob)).unwrap();
    world.project.write(&blob, b"hsqs a roof");
    let ran = world.ensure(&["--force-download"]);
    assert!(ran.code == 0 && ran.stdout.contains("(prepared)"), "{ran}");
    assert_eq!(world.fetches(), 2);
    assert_eq!(world.project.read(&blob), ROOTFS);
    let verified = world.project.port(&["base-images", "verify", "--cache-dir=cache"]);
    assert_eq!(verified.code, 0, "{verified}");
    let left: Vec<_> = std::fs::read_dir(world.project.path().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("anew"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_policy_is_asked_before_a_base_image_is_fetched_and_again_without_the_registry() {
    let world = World::new();
    key(&world.project, "a.key", "p256");
    world.project.write("trust.toml", POLICY);
    let ran = world.ensure(&[]);
    assert!(ran.code == 3 && ran.stderr.contains("0 of 1 required signatures"), "{ran}");
    assert_eq!(world.fetches(), 0);
    world.sign();
    let ran = world.ensure(&[]);
    assert_eq!(ran.code, 0, "{ran}");
    world.go_away();
    // The signatures came along.
    for more in [&[][..], &["--offline"]] {
        assert_eq!(world.ensure(more).code, 0, "{more:?}");
    }
    // The policy of now decides: the key was withdrawn.
    key(&world.project, "b.key", "p256");
    world.project.write("trust.toml", POLICY.replace("a.pub", "b.pub"));
    for more in [&[][..], &["--offline"]] {
        let ran = world.ensure(more);
        assert!(ran.code == 3 && ran.stderr.contains("refusing"), "{more:?}: {ran}");
    }
    // A name that no rule means is refused; without a policy nobody asks.
    world.project.write("trust.toml", POLICY.replace("*/base/*", "*/other/*"));
    assert_eq!(world.ensure(&["--offline"]).code, 3);
    std::fs::remove_file(world.project.path().join("trust.toml")).unwrap();
    assert_eq!(world.ensure(&["--offline"]).code, 0);
}
