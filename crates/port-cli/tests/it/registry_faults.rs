//! A bad network: every transfer ends with the right bytes or a clear error, and the next one finishes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use port_testkit::peers::Software;
use port_testkit::project::{Project, Ran};
use port_testkit::proxy::{Direction, Fault, Link, Proxy, Trouble};

use crate::fixture::*;
use crate::registry::{ANONYMOUS, configuration, forget, noise, open_registry, registry_project};

pub const MIB: u64 = 1 << 20;
/// What travels through the faulty proxy.
const FAULTY: u64 = 64 * MIB;
/// Heads, documents and questions.
pub const TALK: u64 = MIB;
/// What a download may fetch twice: one part of each of its connections.
pub const REPEATED_DOWN: u64 = 6 * 8 * MIB;
/// No transfer of these sizes on loopback may take longer, in seconds; a hang is a failure.
const LONGEST: &str = "150";

/// A large file that no run changes, made once per checkout.
pub fn large(mebibytes: u64) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("noise-{mebibytes}-mib"));
    if std::fs::metadata(&path).map_or(0, |metadata| metadata.len()) != mebibytes * MIB {
        let partial = path.with_extension(std::process::id().to_string());
        std::fs::write(&partial, noise(usize::try_from(mebibytes * MIB).unwrap())).unwrap();
        std::fs::rename(partial, &path).unwrap();
    }
    path
}

/// Makes `file` the kernel of the project.
pub fn place(project: &Project, file: &Path) {
    let target = project.write(LOCAL_KERNEL, b"");
    std::fs::remove_file(&target).unwrap();
    // A second name is enough, since Port replaces files and never writes into them.
    if std::fs::hard_link(file, &target).is_err() {
        std::fs::copy(file, &target).unwrap();
    }
}

/// Compares by reading both; `cmp` shows where they differ first.
pub fn assert_same(project: &Project, file: &Path) {
    let found = project.path().join(LOCAL_KERNEL);
    let compared = Command::new("cmp").arg(file).arg(&found).output().unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
}

/// Runs a verb, which must end in time and never with a bug.
fn bounded(project: &Project, verb: &str) -> Ran {
    let port = project.command(&[&["artifacts", verb, "--artifact", "tiny"][..], &X86].concat());
    let mut command = Command::new("timeout");
    command.args(["--signal", "KILL", LONGEST]).arg(port.get_program()).args(port.get_args());
    command.current_dir(project.path()).stdin(Stdio::null()).env_clear();
    command.envs(port.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = project.ran(command.output().unwrap());
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
#[expect(clippy::print_stdout, reason = "kept back by the test runner unless somebody asks")]
fn told(verb: &str, what: &str, ran: &Ran) {
    if ran.code != 0 {
        println!("{verb}, {what}: {}", ran.stderr);
    }
}

#[test]
fn a_push_over_a_bad_network_ends_right_or_clearly() {
    // In one request, and in two parts.
    for (software, mebibytes) in [(Software::DockerRegistry, 64), (Software::Distribution, 72)] {
        let Some(registry) = open_registry(software) else { continue };
        let file = large(mebibytes);
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
}

/// A large file goes out from where it lies, while its copy goes into the store.
#[test]
fn a_file_that_changes_while_it_goes_out_is_not_published() {
    use std::os::unix::fs::FileExt as _;
    const SIZE: u64 = 2 * FAULTY;
    let Some(registry) = open_registry(Software::DockerRegistry) else { return };
    let write: fn(&std::fs::File) = |file| file.write_all_at(b"changed", SIZE - MIB).unwrap();
    let cut: fn(&std::fs::File) = |file| file.set_len(SIZE / 4).unwrap();
    for (what, change) in [("written", write), ("cut", cut)] {
        let stalls = faults(Direction::Up, &[(20 * MIB, Trouble::Stall(Duration::from_secs(3)))]);
        let proxy = Proxy::start(registry.address(), Link::default(), &stalls);
        let name = format!("changes/{what}");
        let project = with_configuration(&configuration(proxy.address(), &name, ANONYMOUS));
        let local = project.write(LOCAL_KERNEL, b"");
        std::fs::copy(large(SIZE / MIB), &local).unwrap();
        let changing = {
            let local = local.clone();
            std::thread::spawn(move || {
                while proxy.up() < 20 * MIB {
                    std::thread::sleep(Duration::from_millis(10));
                }
                change(&std::fs::OpenOptions::new().write(true).open(local).unwrap());
                proxy
            })
        };
        let ran = bounded(&project, "push");
        // Kept open until the last push has gone through it.
        let _proxy = changing.join().unwrap();
        assert_eq!(ran.code, 1, "{what}\n{ran}");
        assert!(ran.stderr.contains("` changed while it was "), "{what}\n{ran}");
        assert!(ran.stderr.contains("hint: wait until whoever writes it is done"), "{what}\n{ran}");
        let direct = with_configuration(&configuration(registry.address(), &name, ANONYMOUS));
        assert_eq!(artifacts(&direct, "pull", "tiny").code, 5, "{what}: something was published\n{ran}");
        // As it is now, it is as good as any other.
        succeed(&project, "push", "tiny");
        succeed(&direct, "pull", "tiny");
        assert_same(&direct, &local);
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
