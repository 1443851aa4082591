//! `port` killed by SIGKILL at random instants while it packs, pushes and pulls packed images, and many of them at once:
//! the rerun finishes, sends little again, and the store is whole.
//!
//! `PORT_TEST_KILLS` is how often each is killed; `PORT_TEST_PACKED_MIB` how much noise the image has. The instants are
//! random but the same in every run, as far as they are the test's.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use port_content::hashing::digest_of;
use port_testkit::project::Project;
use port_testkit::registry::Registry;

use crate::fixture::X86;
use crate::packed::*;
use crate::registry::noise;

const MIB: usize = 1 << 20;
/// What a rerun may send again: the pack that was on its way, and the delta.
const REPEATED_UP: u64 = 33 * MIB as u64;
/// What it may fetch again: a part on each connection, and what was in the kernel's buffers.
const REPEATED_DOWN: u64 = 6 * (8 + 4) * MIB as u64;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}

fn kills() -> usize {
    number("PORT_TEST_KILLS", 6)
}

/// A larger image: noise, a hole of the same length, and text; all of one change differ in every 64th block of the noise
/// from those of another, 0 is without.
fn large(change: u8) -> Vec<u8> {
    let length = number("PORT_TEST_PACKED_MIB", 4) * MIB;
    let mut bytes = noise(length);
    bytes.resize(2 * length, 0);
    bytes.extend("What changed, and nothing else. ".repeat(length / 64 + 3).as_bytes());
    for block in (0..length / BLOCK).step_by(64) {
        bytes[block * BLOCK + 9] ^= change;
    }
    bytes
}

/// Kills at instants spread over the time that one run took.
struct Killer {
    state: u64,
    whole: Duration,
    killed: usize,
}

impl Killer {
    fn new(state: u64, whole: Duration) -> Self {
        Self { state, whole, killed: 0 }
    }

    fn instant(&mut self) -> Duration {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.whole.mul_f64((self.state >> 33) as f64 / f64::from(1_u32 << 31))
    }

    fn kill(&mut self, project: &Project, verb: &str) -> bool {
        let mut child = spawn(project, verb, Stdio::null);
        std::thread::sleep(self.instant());
        let running = child.try_wait().unwrap().is_none();
        // SIGKILL: nothing of the program's own runs any more.
        let _ = child.kill();
        child.wait().unwrap();
        self.killed += usize::from(running);
        running
    }

    #[expect(clippy::print_stdout, reason = "kept back by the test runner unless somebody asks")]
    fn enough(&self, what: &str, rounds: usize, (size, most): (u64, u64)) {
        println!(
            "{what}: {} of {rounds} killed in time; {size} bytes in one run, at most {most} in two",
            self.killed
        );
        assert!(self.killed * 4 >= rounds, "{what}: only {} of {rounds} were killed in time", self.killed);
    }
}

fn spawn(project: &Project, verb: &str, stream: fn() -> Stdio) -> Child {
    let arguments = [&["artifacts", verb, "--artifact", "root"][..], &X86].concat();
    project.command(&arguments).stdout(stream()).stderr(stream()).spawn().unwrap()
}

/// What went up and down, once the registry noticed that nobody is there any more.
fn at_rest(registry: &Registry) -> (u64, u64) {
    let mut before = registry.traffic();
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let now = registry.traffic();
        if now == before {
            return now;
        }
        before = now;
    }
}

fn version_of(project: &Project, host: &str, version: usize) {
    turn(project, host, &format!("v{version}"), "");
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// Removes the store, the cache and the local file.
fn forget(project: &Project) {
    for directory in ["g", ".port"] {
        let _ = std::fs::remove_dir_all(project.path().join(directory));
    }
}

fn pulled(project: &Project, host: &str, version: usize, content: &[u8]) {
    version_of(project, host, version);
    report(project, "pull", &[]);
    assert_same(project, content);
}

#[test]
fn a_first_push_killed_at_any_instant_is_finished_by_the_next() {
    let content = large(0);
    let measured = Registry::start();
    let publisher = project(measured.host());
    place(&publisher, &content);
    let mut killer = Killer::new(20_261_121, timed(|| drop(report(&publisher, "push", &[]))));
    let (size, expected) = (measured.traffic().0, manifest(&measured, "v1"));
    let mut most = 0;
    for _ in 0..kills() {
        let registry = Registry::start();
        turn(&publisher, registry.host(), "v1", "");
        forget(&publisher);
        place(&publisher, &content);
        killer.kill(&publisher, "push");
        let before = at_rest(&registry).0;
        report(&publisher, "push", &[]);
        let sent = registry.traffic().0;
        assert!(sent <= size + before.min(REPEATED_UP) + TALK, "{sent} bytes for {size}, killed at {before}");
        most = most.max(sent);
        // The same blobs as without a kill, and listed.
        assert_eq!(manifest(&registry, "v1"), expected);
        let digest = digest_of(&registry.manifest(REPOSITORY, &tag("v1")).unwrap()).to_string();
        let index = String::from_utf8(registry.manifest(REPOSITORY, "v1").unwrap()).unwrap();
        assert!(index.contains(&digest), "{index}");
        assert_whole(&publisher);
        pulled(&project(registry.host()), registry.host(), 1, &content);
        // The registry stays in memory as long as the process.
        layers(&expected, "pack").iter().for_each(|pack| registry.lose_blob(pack));
    }
    killer.enough("first pushes", kills(), (size, most));
}

#[test]
fn an_update_killed_at_any_instant_is_finished_by_the_next() {
    let registry = Registry::start();
    let host = registry.host();
    let publisher = project(host);
    place(&publisher, &large(0));
    report(&publisher, "push", &[]);
    let mut killer = Killer::new(4711, Duration::ZERO);
    let (mut size, mut most) = (0, 0);
    for round in 0..=kills() {
        // Version 1 is here and nothing else, so that each round has the same to do.
        forget(&publisher);
        pulled(&publisher, host, 1, &large(0));
        // The version before is packed against, and gives the delta, although version 1 is here.
        turn(&publisher, host, &format!("v{}", 2 + round), ", deltas = 1");
        let content = large(u8::try_from(round + 1).unwrap());
        place(&publisher, &content);
        let up = registry.traffic().0;
        if round == 0 {
            killer.whole = timed(|| drop(report(&publisher, "push", &[])));
            size = registry.traffic().0 - up;
            continue;
        }
        killer.kill(&publisher, "push");
        let before = at_rest(&registry).0 - up;
        report(&publisher, "push", &[]);
        let sent = registry.traffic().0 - up;
        assert!(sent <= size + before.min(REPEATED_UP) + TALK, "{sent} bytes for {size}, killed at {before}");
        most = most.max(sent);
        assert_eq!(deltas(&publisher).len(), 1);
        assert_whole(&publisher);
        pulled(&project(host), host, 2 + round, &content);
    }
    killer.enough("updates", kills(), (size, most));
}

#[test]
fn a_pull_killed_at_any_instant_is_finished_by_the_next() {
    let contents = [large(0), large(1)];
    each(
        [("cold pulls", 1, "0"), ("updates by packs", 2, "0"), ("updates by delta", 2, "1")],
        |(what, version, deltas)| {
            kill_pulls(what, version, deltas, &contents);
        },
    );
}

fn kill_pulls(what: &str, version: usize, deltas: &str, contents: &[Vec<u8>; 2]) {
    let registry = Registry::start();
    let host = registry.host();
    let (publisher, reader) = (project(host), project(host));
    for (version, content) in (1..).zip(contents) {
        version_of(&publisher, host, version);
        place(&publisher, content);
        report(&publisher, "push", &["--deltas", deltas]);
    }
    let start = || {
        forget(&reader);
        if version == 2 {
            pulled(&reader, host, 1, &contents[0]);
        }
        version_of(&reader, host, version);
        registry.traffic().1
    };
    let down = start();
    let mut killer = Killer::new(version as u64, timed(|| drop(report(&reader, "pull", &[]))));
    let (size, mut most) = (registry.traffic().1 - down, 0);
    for _ in 0..kills() {
        let down = start();
        killer.kill(&reader, "pull");
        if reader.exists(IMAGE) {
            let found = reader.read(IMAGE);
            assert!(contents.contains(&found), "{what}: neither the old file nor the new one");
        }
        let before = at_rest(&registry).1 - down;
        report(&reader, "pull", &[]);
        assert_same(&reader, &contents[version - 1]);
        let came = registry.traffic().1 - down;
        let bound = size + before.min(REPEATED_DOWN) + TALK;
        assert!(came <= bound, "{what}: {came} bytes for {size}, killed at {before}");
        most = most.max(came);
        assert_whole(&reader);
    }
    assert_sound(&reader);
    killer.enough(what, kills(), (size, most));
}

fn assert_whole(project: &Project) {
    let ran = project.port(&["store", "verify"]);
    assert_eq!(ran.code, 0, "{ran}");
}

/// Runs a verb for version `version` of one project, in one store, at a local path of its own.
fn at_once(project: &Project, host: &str, verb: &str, version: usize) -> Child {
    let config = format!("v{version}.toml");
    let text = configuration(host, &format!("v{version}"), "").replace(IMAGE, &local(version));
    project.write(&config, text);
    let arguments = [&["--config", &config, "artifacts", verb, "--artifact", "root"][..], &X86].concat();
    project.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn local(version: usize) -> String {
    format!("g{version}/rootfs.ext4")
}

#[test]
fn eight_pushers_and_pullers_of_one_artifact_in_one_store() {
    let registry = Registry::start();
    let host = registry.host();
    let publisher = project(host);
    for version in 1..5 {
        push(&publisher, host, version, &[]);
    }
    let crowd = project(host);
    for round in 0..3 {
        let verbs = (1..9).map(|version| {
            let pushes = version > 4 && round == 0 || version % 2 == 0 && round == 1;
            if pushes {
                crowd.write(&local(version), image(version));
            } else {
                let _ = std::fs::remove_dir_all(crowd.path().join(format!("g{version}")));
            }
            (version, if pushes { "push" } else { "pull" })
        });
        let verbs: Vec<_> = verbs.collect();
        let children: Vec<_> =
            verbs.iter().map(|(version, verb)| at_once(&crowd, host, verb, *version)).collect();
        for ((version, verb), child) in verbs.into_iter().zip(children) {
            let ran = crowd.ran(child.wait_with_output().unwrap());
            assert_eq!(ran.code, 0, "round {round}, {verb} v{version}\n{ran}");
            assert!(crowd.read(&local(version)) == image(version), "round {round}, {verb} v{version}");
        }
        assert_eq!(crowd.port(&["store", "verify"]).code, 0, "round {round}");
        if round == 1 {
            // The files go, the packs stay: eight pulls from the same packs.
            for version in 1..9 {
                let name = digest_of(&image(version)).hex().to_owned();
                let _ = std::fs::remove_file(crowd.path().join(".port/store/blobs/sha256").join(name));
            }
        }
    }
    assert_sound(&crowd);
    for version in 1..9 {
        pull(&project(host), host, version);
    }
}

#[test]
fn eight_pulls_of_one_version_into_one_store_fetch_it_once_each_at_most() {
    let registry = Registry::start();
    let host = registry.host();
    push(&project(host), host, 1, &[]);
    let crowd = project(host);
    let children: Vec<_> = (0..8).map(|_| spawn(&crowd, "pull", Stdio::piped)).collect();
    for child in children {
        let ran = crowd.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
    }
    assert_same(&crowd, &image(1));
    assert_sound(&crowd);
}
