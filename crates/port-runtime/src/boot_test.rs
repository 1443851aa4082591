//! Which VMMs boot anything here, found out by booting the probe kernel under each, the way `port run` would.
//!
//! ```text
//! driver ─► probe kernel, an initrd of known bytes, a command line of known words ─► its transcript ─► is it what was given?
//! ```
//!
//! Not here: whether Linux boots. The probe kernel needs some ten thousand instructions, so a KVM that interprets its guests
//! boots it too; what the accelerator is worth, `accelerator` finds out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use port_content::atomic;
use port_model::{Architecture, Cmdline};
use port_probe_kernel::transcript::{BEGIN, END, has_line};
use port_probe_kernel::{Transcript, checksum};
use serde::{Deserialize, Serialize};

use crate::accelerator::{self, Accelerator};
use crate::driver::{Driver, Machine};
use crate::error::{RuntimeError, Tail, channel_error};
use crate::machine_spec::{Console, KernelFamily, MachineSpec};
use crate::search_path::SearchPath;
use crate::{
    CloudHypervisorDriver, Confinement, FirecrackerDriver, QemuDriver, cloud_hypervisor, firecracker, host,
    qemu,
};

/// Where the probe kernel is at home.
pub const ARCHITECTURE: Architecture = Architecture::X86_64;
/// What a VMM has for the whole transcript. On a busy host, one that interprets needs seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the machine then has to end by itself.
const END_TIME: Duration = Duration::from_secs(5);
const MEMORY_MIB: u32 = 64;
/// Of the memory, firmware keeps some for itself.
const LEAST_MEMORY: u64 = 60 * 1024 * 1024;
const INITRD_BYTES: u16 = 4099;
/// More than the kernel says.
const MOST_WORDS: usize = 64 * 1024;

/// How a VMM did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The guest ran, saw what it was given, and the machine ended.
    Works,
    /// It did not.
    Fails,
    /// The program is not there.
    Missing,
    /// It runs no guests of the probe kernel's architecture on this host.
    Untried,
}

/// One VMM's test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTest {
    /// The VMM, by its program's name.
    pub vmm: String,
    /// How it did.
    pub outcome: Outcome,
    /// What ran the guest's instructions.
    pub accelerator: Option<Accelerator>,
    /// How the guest was entered: `pvh` or `linux`.
    pub protocol: Option<String>,
    /// From the VMM's start to the guest's first line, in milliseconds.
    pub banner_ms: Option<u64>,
    /// From the VMM's start to its end, in milliseconds.
    pub total_ms: Option<u64>,
    /// Why it does not work, with what the VMM and the guest said.
    pub reason: Option<String>,
}

/// Where VMMs are looked for, and where machines run.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where programs are looked for.
    pub search: SearchPath,
    /// Where run directories are made.
    pub run_root: PathBuf,
    /// Where the accelerator's verdict is kept.
    pub verdicts: Option<PathBuf>,
}

/// Boots `kernel` under every VMM, one after the other.
///
/// # Errors
/// The files for it cannot be made. What a VMM does wrong is its test's outcome.
pub async fn run(place: &Place, kernel: &Path) -> Result<Vec<BootTest>, RuntimeError> {
    let directory = tempfile::tempdir().map_err(channel_error("make a temporary directory"))?;
    let initrd: Vec<u8> = (0..INITRD_BYTES).map(|index| index.to_le_bytes()[0] ^ 0xa5).collect();
    let initrd_path = directory.path().join("initrd");
    atomic::write(&initrd_path, &initrd)?;
    let spec = spec(kernel, initrd_path)?;
    let expected = Expected { cmdline: spec.cmdline.to_string(), crc32: checksum::of(&initrd) };
    let (search, run_root) = (place.search.clone(), place.run_root.clone());
    let kvm_only = Some(Accelerator::Kvm);
    let qemu = QemuDriver {
        search: search.clone(),
        run_root: run_root.clone(),
        verdicts: place.verdicts.clone(),
        confinement: Confinement::default(),
    };
    let verdict = accelerator::verdict(ARCHITECTURE, &search, place.verdicts.as_deref()).await;
    let emulates = verdict.ok().map(|verdict| verdict.accelerator);
    let firecracker = FirecrackerDriver {
        search: search.clone(),
        run_root: run_root.clone(),
        confinement: Confinement::default(),
    };
    let cloud_hypervisor = CloudHypervisorDriver { search, run_root, confinement: Confinement::default() };
    let drivers: [(&str, Option<Accelerator>, &dyn Driver); 3] = [
        (qemu::program_name(ARCHITECTURE), emulates, &qemu),
        (firecracker::PROGRAM, kvm_only, &firecracker),
        (cloud_hypervisor::PROGRAM, kvm_only, &cloud_hypervisor),
    ];
    let mut tests = Vec::new();
    for (vmm, accelerator, driver) in drivers {
        let is_there = place.search.find(vmm).is_some();
        let accelerator = accelerator.filter(|_| is_there);
        let mut test = test(vmm, accelerator, driver, &spec, &expected).await;
        if !is_there {
            test.outcome = Outcome::Missing;
        } else if accelerator == Some(Accelerator::Kvm) && host::ARCHITECTURE != ARCHITECTURE {
            test.outcome = Outcome::Untried;
        }
        tests.push(test);
    }
    Ok(tests)
}

fn spec(kernel: &Path, initrd: PathBuf) -> Result<MachineSpec, RuntimeError> {
    let cmdline =
        Cmdline::parse("port.probe=1 -- \"two words\"").map_err(crate::machine_spec::SpecError::from)?;
    Ok(MachineSpec {
        architecture: ARCHITECTURE,
        vcpus: 1,
        memory_mib: MEMORY_MIB,
        kernel: kernel.to_owned(),
        family: KernelFamily::Other,
        initrd: Some(initrd),
        cmdline,
        disks: Vec::new(),
        shares: Vec::new(),
        network: None,
        agent: None,
        console: Console::Stream,
    })
}

/// What the guest must see.
struct Expected {
    cmdline: String,
    crc32: u32,
}

async fn test(
    vmm: &str,
    accelerator: Option<Accelerator>,
    driver: &dyn Driver,
    spec: &MachineSpec,
    expected: &Expected,
) -> BootTest {
    let mut test = BootTest {
        vmm: vmm.to_owned(),
        outcome: Outcome::Fails,
        accelerator,
        protocol: None,
        banner_ms: None,
        total_ms: None,
        reason: None,
    };
    match attempt(driver, spec, expected, &mut test).await {
        Ok(()) => test.outcome = Outcome::Works,
        Err(reason) => test.reason = Some(reason),
    }
    test
}

async fn attempt(
    driver: &dyn Driver,
    spec: &MachineSpec,
    expected: &Expected,
    test: &mut BootTest,
) -> Result<(), String> {
    let mut machine = driver.boot(spec).await.map_err(|error| with_causes(&error))?;
    let words = listen(&mut machine, test).await;
    let checked = check(&words, expected, test);
    let ended = tokio::time::timeout(END_TIME, machine.wait()).await;
    if let Err(reason) = checked {
        // Once more in vain, or a machine that is left running: either way it goes.
        let _ = machine.force().await;
        let said = Tail::new("console", words.as_bytes());
        return Err(format!("{reason}{}{said}", machine.vmm_messages().await));
    }
    match ended {
        Ok(Ok(status)) if status.success() => {
            test.total_ms = machine.timings().ended.map(|ended| since_start(&machine, ended));
            Ok(())
        }
        Ok(Ok(status)) => Err(format!(
            "the guest ran, but then the VMM ended with {status}{}",
            machine.vmm_messages().await
        )),
        Ok(Err(error)) => Err(with_causes(&error)),
        Err(_) => {
            let _ = machine.force().await;
            Err(format!("the guest ran, but {} s later the machine had not ended", END_TIME.as_secs()))
        }
    }
}

/// What the guest says, until it is through, the console ends or the time is up.
async fn listen(machine: &mut Machine, test: &mut BootTest) -> String {
    let Some(mut stream) = machine.take_console() else { return String::new() };
    let mut words = Vec::new();
    let listening = async {
        while let Some(bytes) = stream.output.recv().await {
            words.extend_from_slice(&bytes);
            let text = String::from_utf8_lossy(&words);
            if test.banner_ms.is_none() && has_line(&text, BEGIN) {
                test.banner_ms = Some(since_start(machine, Instant::now()));
            }
            if has_line(&text, END) || words.len() > MOST_WORDS {
                return;
            }
        }
    };
    // Too late is as silent: what there is tells.
    let _ = tokio::time::timeout(PATIENCE, listening).await;
    String::from_utf8_lossy(&words).into_owned()
}

fn since_start(machine: &Machine, instant: Instant) -> u64 {
    let passed = instant.saturating_duration_since(machine.timings().spawned);
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// Compares what the guest saw with what it was given. A VMM may add words to the command line.
fn check(words: &str, expected: &Expected, test: &mut BootTest) -> Result<(), String> {
    let found = Transcript::parse(words).map_err(|error| error.to_string())?;
    test.protocol = Some(found.protocol.to_owned());
    let (given, seen) = (&expected.cmdline, found.cmdline);
    let mut seen_words = seen.split(' ');
    // Firecracker puts words of its own before the ` -- `.
    if !given.split(' ').all(|word| seen_words.any(|seen| seen == word)) {
        return Err(format!("the guest saw another command line: expected `{given}`, found `{seen}`"));
    }
    let given = (u64::from(INITRD_BYTES), expected.crc32);
    let seen = found.initrd.map(|initrd| (initrd.bytes, initrd.crc32));
    if seen != Some(given) {
        let shown =
            seen.map_or_else(|| "none".to_owned(), |(bytes, sum)| format!("{bytes} bytes, {sum:08x}"));
        return Err(format!(
            "the guest saw another initrd: expected {} bytes, {:08x}, found {shown}",
            given.0, given.1
        ));
    }
    if !(LEAST_MEMORY..=u64::from(MEMORY_MIB) << 20).contains(&found.memory) {
        let expected = u64::from(MEMORY_MIB) << 20;
        return Err(format!(
            "the guest saw another memory: expected nearly {expected} bytes, found {}",
            found.memory
        ));
    }
    Ok(())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
