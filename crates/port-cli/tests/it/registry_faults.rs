//! A bad network and a killed client: every transfer ends with the right bytes or a clear error, and a rerun finishes
//! without sending much twice.
//!
//! `PORT_TEST_KILLS` is how often push and pull are killed each; `PORT_TEST_KILL_MIB` how large the file is then.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use port_testkit::peers::{Registry, Software};
use port_testkit::project::{Project, Ran};
use port_testkit::proxy::{Direction, Fault, Link, Proxy, Trouble};

use crate::fixture::*;
use crate::registry::{ANONYMOUS, configuration, forget, noise, open_registry, registry_project};

const MIB: u64 = 1 << 20;
/// What travels through the faulty proxy.
const FAULTY: u64 = 64 * MIB;
/// Heads, documents and questions.
const TALK: u64 = MIB;
/// What a download may fetch twice: one part of each of its connections.
const REPEATED_DOWN: u64 = 6 * 8 * MIB;
/// What an upload may send twice: one part.
const REPEATED_UP: u64 = 64 * MIB;
/// What the kernel holds of a killed process's connections, and still delivers.
const IN_FLIGHT: u64 = 16 * MIB;
/// No transfer of these sizes on loopback may take longer; a hang is a failure.
const LONGEST: Duration = Duration::from_secs(150);

/// A large file that no run changes, made once per checkout.
fn large(mebibytes: u64) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("noise-{mebibytes}-mib"));
    if std::fs::metadata(&path).map_or(0, |metadata| metadata.len()) != mebibytes * MIB {
        let partial = path.with_extension(std::process::id().to_string());
        std::fs::write(&partial, noise(usize::try_from(mebibytes * MIB).unwrap())).unwrap();
        std::fs::rename(partial, &path).unwrap();
    }
    path
}

fn place(project: &Project, file: &Path) {
    let target = project.write(LOCAL_KERNEL, b"");
    std::fs::remove_file(&target).unwrap();
    // A second name is enough, since Port replaces files and never writes into them.
    if std::fs::hard_link(file, &target).is_err() {
        std::fs::copy(file, &target).unwrap();
    }
}

/// Compares by reading both; `cmp` shows where they differ first.
fn assert_same(project: &Project, file: &Path) {
    let found = project.path().join(LOCAL_KERNEL);
    let compared = std::process::Command::new("cmp").arg(file).arg(&found).output().unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
}

/// Runs a verb, which must end in time and never with a bug.
fn bounded(project: &Project, verb: &str) -> Ran {
    let began = Instant::now();
    let ran = artifacts(project, verb, "tiny");
    assert!(began.elapsed() < LONGEST, "{verb} took {:?}\n{ran}", began.elapsed());
    assert!(ran.code == 0 || ran.code == 1 || ran.code == 4, "{verb}\n{ran}");
    if ran.code != 0 {
        assert!(ran.stderr.contains("error: "), "{verb} fails without a reason\n{ran}");
    }
    ran
}

/// Faults at these places, all in one direction.
fn faults(direction: Direction, troubles: &[(u64, Trouble)]) -> Vec<Fault> {
    troubles.iter().map(|&(after, trouble)| Fault { direction, after, trouble }).collect()
}

fn every_kind(direction: Direction) -> Vec<(&'static str, Vec<Fault>)> {
    let at = |mebibytes: u64| mebibytes * MIB + 4321;
    vec![
        ("cut once", faults(direction, &[(at(20), Trouble::Cut)])),
        (
            "cut four times",
            faults(direction, &[5, 17, 30, 51].map(|mebibytes| (at(mebibytes), Trouble::Cut))),
        ),
        ("half-closed", faults(direction, &[(at(20), Trouble::HalfClose)])),
        ("one bit", faults(direction, &[(at(20), Trouble::Corrupt)])),
        ("two bits", faults(direction, &[(at(3), Trouble::Corrupt), (at(40), Trouble::Corrupt)])),
        ("reordered", faults(direction, &[(at(20), Trouble::Reorder)])),
        ("stalled", faults(direction, &[(at(20), Trouble::Stall(Duration::from_secs(3)))])),
    ]
}

/// Reports what failed clearly, so that a reader of the log sees what is survived and what is not.
fn told(verb: &str, what: &str, ran: &Ran) {
    if ran.code != 0 {
        println!("{verb}, {what}: {}", ran.stderr);
    }
}

#[test]
fn a_push_over_a_bad_network_ends_right_or_clearly() {
    let Some(registry) = open_registry(Software::DockerRegistry) else { return };
    let file = large(FAULTY / MIB);
    for (what, faults) in every_kind(Direction::Up) {
        let proxy = Proxy::start(registry.address(), Link::default(), &faults);
        let name = format!("up/{}", what.replace(' ', "-"));
        let project = with_configuration(&configuration(proxy.address(), &name, ANONYMOUS));
        place(&project, &file);
        let ran = bounded(&project, "push");
        told("push", what, &ran);
        assert_eq!(proxy.pending(), 0, "push, {what}: not every fault happened\n{ran}");
        // Whatever came of it, the next one finishes, and nothing wrong was published.
        if ran.code != 0 {
            succeed(&project, "push", "tiny");
        }
        let direct = with_configuration(&configuration(registry.address(), &name, ANONYMOUS));
        succeed(&direct, "pull", "tiny");
        assert_same(&direct, &file);
    }
}

#[test]
fn a_pull_over_a_bad_network_ends_right_or_clearly() {
    let Some(registry) = open_registry(Software::DockerRegistry) else { return };
    let file = large(FAULTY / MIB);
    let publisher = registry_project(registry.address(), ANONYMOUS);
    place(&publisher, &file);
    succeed(&publisher, "push", "tiny");
    for (what, faults) in every_kind(Direction::Down) {
        let proxy = Proxy::start(registry.address(), Link::default(), &faults);
        let project = registry_project(proxy.address(), ANONYMOUS);
        let ran = bounded(&project, "pull");
        told("pull", what, &ran);
        assert_eq!(proxy.pending(), 0, "pull, {what}: not every fault happened\n{ran}");
        if ran.code != 0 {
            assert!(!project.exists(LOCAL_KERNEL), "pull, {what}: a file although it failed\n{ran}");
            succeed(&project, "pull", "tiny");
        }
        assert_same(&project, &file);
        let most = FAULTY * 2 + REPEATED_DOWN;
        assert!(proxy.down() < most, "pull, {what}: {} bytes came down", proxy.down());
    }
}

#[test]
fn cuts_repeat_little_of_a_pull() {
    let Some(registry) = open_registry(Software::DockerRegistry) else { return };
    let file = large(FAULTY / MIB);
    let publisher = registry_project(registry.address(), ANONYMOUS);
    place(&publisher, &file);
    succeed(&publisher, "push", "tiny");
    let cuts = faults(Direction::Down, &[9, 18, 27, 36, 45, 54].map(|at| (at * MIB, Trouble::Cut)));
    let proxy = Proxy::start(registry.address(), Link::default(), &cuts);
    let project = registry_project(proxy.address(), ANONYMOUS);
    succeed(&project, "pull", "tiny");
    assert_same(&project, &file);
    // What a cut loses is what was in flight on that connection, never what was received.
    assert!(proxy.down() < FAULTY + 6 * 8 * MIB + TALK, "{} bytes came down", proxy.down());
}

#[test]
fn a_slow_link_is_only_slow() {
    let Some(registry) = open_registry(Software::DockerRegistry) else { return };
    let link = Link { bytes_per_second: 2 * MIB, delay: Duration::from_millis(5) };
    let proxy = Proxy::start(registry.address(), link, &[]);
    let project = registry_project(proxy.address(), ANONYMOUS);
    let content = noise(4 << 20);
    project.write(LOCAL_KERNEL, &content);
    succeed(&project, "push", "tiny");
    forget(&project);
    succeed(&project, "pull", "tiny");
    assert!(project.read(LOCAL_KERNEL) == content);
}

/// Kills at instants spread over a whole run's time.
struct Killer {
    state: u64,
    whole: Duration,
}

impl Killer {
    fn instant(&mut self) -> Duration {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.whole.mul_f64((self.state >> 33) as f64 / f64::from(1_u32 << 31))
    }

    /// Whether the verb was killed before it ended.
    fn kill(&mut self, project: &Project, verb: &str) -> bool {
        let mut command = project.command(&[&["artifacts", verb, "--artifact", "tiny"][..], &X86].concat());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(self.instant());
        let ended = child.try_wait().unwrap();
        // SIGKILL: nothing of the program's own runs any more.
        let _ = child.kill();
        child.wait().unwrap();
        ended.is_none()
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}

/// What the kill tests share.
struct Setting {
    registry: Registry,
    file: PathBuf,
    size: u64,
    kills: u64,
}

impl Setting {
    fn new(software: Software) -> Option<Self> {
        let registry = open_registry(software)?;
        let mebibytes = number("PORT_TEST_KILL_MIB", 128);
        let kills = number("PORT_TEST_KILLS", 10);
        Some(Self { registry, file: large(mebibytes), size: mebibytes * MIB, kills })
    }

    fn project(&self, proxy: &Proxy, repository: &str) -> Project {
        with_configuration(&configuration(proxy.address(), repository, ANONYMOUS))
    }

    fn proxy(&self) -> Proxy {
        Proxy::start(self.registry.address(), Link::default(), &[])
    }

    fn enough(&self, killed: u64) {
        assert!(killed * 2 > self.kills, "only {killed} of {} were killed in time", self.kills);
    }

    /// Kills pushes, runs them again; what the second one sent must be within `bound` of what was missing.
    fn kill_pushes(&self, repeated: impl Fn(u64) -> u64) {
        let measured = self.project(&self.proxy(), "kill/measured");
        place(&measured, &self.file);
        let began = Instant::now();
        succeed(&measured, "push", "tiny");
        let mut killer = Killer { state: 20_261_120, whole: began.elapsed() };
        let mut killed = 0;
        for round in 0..self.kills {
            let proxy = self.proxy();
            let repository = format!("kill/push-{round}");
            let project = self.project(&proxy, &repository);
            place(&project, &self.file);
            let was_killed = killer.kill(&project, "push");
            killed += u64::from(was_killed);
            let before = proxy.up();
            succeed(&project, "push", "tiny");
            let sent = proxy.up();
            println!("push {round}: killed {was_killed} at {} MiB, {} MiB in all", before / MIB, sent / MIB);
            let most = self.size + repeated(before) + TALK;
            assert!(sent <= most, "{sent} bytes for a file of {}, killed at {before}", self.size);
        }
        self.enough(killed);
        let repository = format!("kill/push-{}", self.kills - 1);
        let direct = with_configuration(&configuration(self.registry.address(), &repository, ANONYMOUS));
        succeed(&direct, "pull", "tiny");
        assert_same(&direct, &self.file);
    }
}

#[test]
fn a_push_killed_at_any_instant_is_finished_by_the_next() {
    let Some(setting) = Setting::new(Software::DockerRegistry) else { return };
    // Off-spec: distribution 2.8 answers 404 to every question about a session whose PATCH was cut, so all that it had is
    // lost, whatever a client does.
    setting.kill_pushes(|before| before + IN_FLIGHT);
}

#[test]
fn a_killed_push_goes_on_where_the_registry_keeps_sessions() {
    let Some(setting) = Setting::new(Software::Distribution) else { return };
    setting.kill_pushes(|before| before.min(REPEATED_UP));
}

#[test]
fn a_pull_killed_at_any_instant_is_finished_by_the_next() {
    let Some(setting) = Setting::new(Software::DockerRegistry) else { return };
    let publisher = setting.project(&setting.proxy(), "kill/pull");
    place(&publisher, &setting.file);
    succeed(&publisher, "push", "tiny");
    let measured = setting.project(&setting.proxy(), "kill/pull");
    let began = Instant::now();
    succeed(&measured, "pull", "tiny");
    let mut killer = Killer { state: 4711, whole: began.elapsed() };
    let mut killed = 0;
    for round in 0..setting.kills {
        let proxy = setting.proxy();
        let project = setting.project(&proxy, "kill/pull");
        let was_killed = killer.kill(&project, "pull");
        killed += u64::from(was_killed);
        if project.exists(LOCAL_KERNEL) {
            assert_same(&project, &setting.file);
        }
        let before = proxy.down();
        succeed(&project, "pull", "tiny");
        let came = proxy.down();
        println!("pull {round}: killed {was_killed} at {} MiB, {} MiB in all", before / MIB, came / MIB);
        let most = setting.size + REPEATED_DOWN.min(before) + TALK;
        assert!(came <= most, "{came} bytes for a file of {}, killed at {before}", setting.size);
        assert_same(&project, &setting.file);
        let verified = project.port(&["store", "verify"]);
        assert_eq!(verified.code, 0, "{verified}");
    }
    setting.enough(killed);
}

#[test]
fn a_registry_that_nobody_runs_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let project = registry_project(&address, ANONYMOUS);
    project.write(LOCAL_KERNEL, b"kernel");
    for verb in ["push", "pull"] {
        let ran = artifacts(&project, verb, "tiny");
        assert_eq!(ran.code, 4, "{ran}");
        assert!(ran.stderr.contains(&address), "{ran}");
    }
}
