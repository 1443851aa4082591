//! A microVM from release to release, in QEMU: the host starts what the agent's pointer says, as a boot loader would, and asks the
//! machine whether it is well. Cuts kill the agent and the machine at any instant; `PORT_TEST_CUTS` says how many.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use port_testkit::skip;
use port_update::slots::SlotName;

use crate::demo;
use crate::trust::done;
use crate::update::publish_arguments;
use crate::update_agent::{Fleet, expect};

/// How long an emulated machine may take to say something, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(240);
const CUTS: u64 = 3;

/// What a release is in these tests: whether its first program lives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// Its first program ends, so that the kernel panics, and the machine ends.
    Broken,
}

/// A fleet of one microVM.
struct Host {
    fleet: Fleet,
    qemu: PathBuf,
    kernel: PathBuf,
    busybox: Vec<u8>,
}

/// A machine that runs. It ends with its handle.
struct Machine {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Machine {
    /// The release that says that it is well, or `None` where the machine ends before.
    fn well(&self) -> Option<u64> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let said =
                        line.trim().strip_prefix("release ").and_then(|rest| rest.strip_suffix(" is well"));
                    if let Some(number) = said {
                        return Some(number.parse().unwrap());
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the machine says nothing"),
            }
        }
    }
}

impl Host {
    /// Or says what is missing.
    fn new() -> Option<Self> {
        if !cfg!(target_arch = "x86_64") {
            skip::because("the kernel of the sample is started directly on x86_64 alone");
            return None;
        }
        let qemu = skip::tool("qemu-system-x86_64", "qemu-system-x86")?;
        let busybox = std::fs::read(skip::tool("busybox", "busybox-static")?).unwrap();
        let kernel = demo::sample()?.join("artifacts/kernel/demo/x86_64/firecracker/standard/vmlinux");
        Some(Self { fleet: Fleet::new(), qemu, kernel, busybox })
    }

    /// Publishes and signs release `number`, and moves the channel there.
    fn release(&self, number: u64, health: Health) {
        let (fleet, version) = (&self.fleet, format!("v0.{number}.0"));
        let kernel = std::fs::read(&self.kernel).unwrap();
        for architecture in ["amd64", "arm64"] {
            let words = publish_arguments(&fleet.machine, &fleet.place(), &version, architecture);
            if architecture == "amd64" {
                fleet.machine.write("amd64/vmlinuz", &kernel);
                fleet.machine.write("amd64/kubesolo-os.gz", initramfs(&self.busybox, number, health));
            }
            done(&fleet.machine, &words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let place = fleet.place();
        let words = ["update", "index", "--plain-http", "--repository", &place, "--version", &version];
        done(&fleet.machine, &[&words[..], &["--channel", "stable", "--overwrite"]].concat());
        fleet.sign(&version, number, "release.key", &[]);
    }

    /// Starts what the pointer says, and counts it.
    fn boot(&self) -> (SlotName, Machine) {
        let slot = self.fleet.boot();
        (slot, self.start(&self.fleet.slots().join(slot.as_str())))
    }

    fn start(&self, slot: &Path) -> Machine {
        let mut process = Command::new(&self.qemu)
            .args(["-machine", "q35,accel=tcg", "-m", "192", "-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio", "-append", "console=ttyS0 panic=-1 quiet"])
            .arg("-kernel")
            .arg(slot.join("vmlinuz"))
            .arg("-initrd")
            .arg(slot.join("kubesolo-os.gz"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Machine { process, lines }
    }

    /// Boots until something is well, as a host does that starts its machine again; returns what ran before that.
    fn boot_until_well(&self) -> (u64, Vec<SlotName>, Machine) {
        let mut ended = Vec::new();
        loop {
            let (slot, machine) = self.boot();
            if let Some(number) = machine.well() {
                return (number, ended, machine);
            }
            ended.push(slot);
            assert!(ended.len() < 6, "nothing boots: {ended:?}");
        }
    }
}

impl Host {
    /// Applies and activates, and kills what is at work after a while; says whether there was anything.
    fn cut_after(&self, wait: Duration) -> bool {
        let begun = Instant::now();
        for (verb, more) in [("apply", &["--plain-http"][..]), ("activate", &[])] {
            let words = [&["update", verb, "--conf", "update.conf"], more].concat();
            let mut command = self.fleet.machine.command(&words);
            let mut agent = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            loop {
                if let Some(status) = agent.try_wait().unwrap() {
                    // What is armed already is not applied again.
                    assert!(matches!(status.code(), Some(0 | 10 | 40)), "{verb}: {status}");
                    break;
                }
                if begun.elapsed() >= wait {
                    agent.kill().unwrap();
                    return agent.wait().unwrap().code().is_none();
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        false
    }
}

/// An archive with a first program that says who it is. A `cpio` of the `newc` kind: headers of hexadecimal numbers.
fn initramfs(busybox: &[u8], number: u64, health: Health) -> Vec<u8> {
    let says = match health {
        Health::Well => format!("echo \"release {number} is well\"\nwhile :; do /busybox sleep 1000; done\n"),
        Health::Broken => format!("echo \"release {number} is not\"\nexit 1\n"),
    };
    let script = format!("#!/busybox sh\n{says}");
    archive(&[("busybox", busybox), ("init", script.as_bytes())])
}

/// An initrd of programs, as its kernel unpacks it.
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let (end, mode) = (("TRAILER!!!", &b""[..]), 0o100_755);
    for (at, (name, content)) in files.iter().chain([&end]).enumerate() {
        let numbers = [at + 1, mode, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        archive.extend_from_slice(b"070701");
        numbers.iter().for_each(|number| archive.extend_from_slice(format!("{number:08X}").as_bytes()));
        for part in [format!("{name}\0").as_bytes(), content] {
            archive.extend_from_slice(part);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }
    archive
}

#[test]
fn t_20_i_7_a_machine_in_qemu_goes_from_release_to_release_and_leaves_a_broken_one() {
    let Some(host) = Host::new() else { return };
    let fleet = &host.fleet;
    host.release(1, Health::Well);
    expect(&fleet.apply(), 0);
    expect(&fleet.verb("activate", &[]), 0);
    let (number, ended, machine) = host.boot_until_well();
    assert_eq!((number, ended), (1, vec![]));
    expect(&fleet.well(), 0);
    fleet.is_at("committed");
    // The next one comes while the machine runs.
    host.release(2, Health::Well);
    expect(&fleet.apply(), 0);
    expect(&fleet.verb("activate", &[]), 0);
    drop(machine);
    let (number, ended, machine) = host.boot_until_well();
    assert_eq!((number, ended), (2, vec![]));
    expect(&fleet.well(), 0);
    fleet.is_at("committed");
    // A broken one has three tries, and nobody is needed for the way back.
    host.release(3, Health::Broken);
    expect(&fleet.apply(), 0);
    expect(&fleet.verb("activate", &[]), 0);
    drop(machine);
    let (number, ended, machine) = host.boot_until_well();
    assert_eq!((number, ended), (2, vec![SlotName::B; 3]));
    expect(&fleet.well(), 0);
    fleet.is_at("rolled-back");
    let status = fleet.status();
    let denied = status["record"]["state"]["denied"].to_string();
    let manifest = fleet.registry.manifest("os/kubesolo", "v0.3.0").unwrap();
    assert!(denied.contains(&port_content::hashing::digest_of(&manifest).to_string()), "{denied}");
    expect(&fleet.apply(), 20);
    drop(machine);
}

/// The agent and the machine die at any instant of `apply` and `activate`: a whole release boots, and the update goes on.
#[test]
fn t_17_t_18_cut_at_any_instant_a_machine_in_qemu_boots() {
    let Some(host) = Host::new() else { return };
    let fleet = &host.fleet;
    host.release(1, Health::Well);
    let begun = Instant::now();
    expect(&fleet.apply(), 0);
    expect(&fleet.verb("activate", &[]), 0);
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap() + 100;
    let (_, _, mut machine) = host.boot_until_well();
    expect(&fleet.well(), 0);
    let cuts = std::env::var("PORT_TEST_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(CUTS);
    let (mut current, mut old, mut interrupted) = (1, 0, 0);
    for cut in 0..cuts {
        let next = current + 1;
        if old == 0 {
            host.release(next, Health::Well);
        }
        let wait = Duration::from_millis((cut.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % whole);
        interrupted += u64::from(host.cut_after(wait));
        drop(machine);
        let (number, failed, booted) = host.boot_until_well();
        assert!(failed.is_empty(), "cut {cut} after {wait:?}: {failed:?} did not boot");
        assert!(number == current || number == next, "cut {cut} after {wait:?}: {number} runs");
        machine = booted;
        expect(&fleet.well(), 0);
        old = u64::from(number == current);
        current = number;
    }
    // And it can still be updated.
    host.release(current + 1, Health::Well);
    expect(&fleet.apply(), 0);
    expect(&fleet.verb("activate", &[]), 0);
    drop(machine);
    let (number, failed, _machine) = host.boot_until_well();
    assert_eq!((number, failed), (current + 1, vec![]));
    expect(&fleet.well(), 0);
    fleet.is_at("committed");
    println!("{cuts} cuts, {interrupted} in the middle of a verb, at release {number}");
}
