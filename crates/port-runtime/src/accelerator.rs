//! Whether KVM really runs guests here, found out by running one.
//!
//! That `/dev/kvm` opens proves little: the PVM host module opens it and interprets every foreign guest at
//! under a million instructions a second, until it meets an instruction it cannot interpret. So a tiny guest
//! of some 40 million instructions is booted (see `probe_guest`); KVM is chosen where it ends within
//! [`PROBE_TIME`].
//!
//! The verdict holds as long as the boot of the host, its kernel and the QEMU program are the same. It is kept
//! in a directory that the caller names, and a kept verdict costs one small read: no program is started.
//!
//! aarch64: the same probe with a PSCI call at its end. On hosts other than the guest's architecture KVM is
//! never asked: emulation is the only way.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use port_content::{atomic, fs, limit};
use port_model::Architecture;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::error::{RuntimeError, Tail};
use crate::host::{self, DeviceAccess};
use crate::qemu::Sandbox;
use crate::qemu::program;
use crate::search_path::SearchPath;

pub(crate) mod probe_guest;
mod qemu_facts;

/// What the probe's guest has. Real virtualization needs a tenth of it, QEMU's own start included.
pub const PROBE_TIME: Duration = Duration::from_secs(2);
const KVM: &str = "/dev/kvm";
/// Of the kept verdict; another version is as none.
const RECORD_VERSION: u32 = 1;

/// What runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The processor, through Linux's KVM.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accelerator {
    /// QEMU's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// What a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictKey {
    /// The guest's architecture.
    pub architecture: Architecture,
    /// The boot of the host: modules and devices come and go with it.
    pub boot_id: String,
    /// The host's kernel.
    pub kernel_release: String,
    /// The QEMU program: its path, size and time of change.
    pub qemu: String,
    /// Whether `/dev/kvm` could be opened: rights may change within one boot.
    pub kvm_device: bool,
}

/// What runs guests of one architecture on this host, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorVerdict {
    version: u32,
    /// What to use.
    pub accelerator: Accelerator,
    /// Why, in words.
    pub reason: String,
    /// QEMU's own version.
    pub qemu_version: String,
    /// Whether this QEMU can filter its own system calls.
    pub sandbox: Sandbox,
    /// What it holds for.
    pub key: VerdictKey,
}

/// The verdict for guests of `architecture`: the one kept in `directory` where it still holds, else a new one,
/// which is kept there.
///
/// # Errors
/// [`RuntimeError::QemuMissing`], or a QEMU that does not even start. A verdict that cannot be kept is no error.
pub async fn verdict(
    architecture: Architecture,
    search: &SearchPath,
    directory: Option<&Path>,
) -> Result<AcceleratorVerdict, RuntimeError> {
    let qemu = program::find(architecture, search)?;
    let key = VerdictKey {
        architecture,
        boot_id: host::boot_id(),
        kernel_release: host::kernel_release(),
        qemu: program::identity(&qemu)?,
        kvm_device: host::device_access(Path::new(KVM)) == DeviceAccess::Usable,
    };
    let cache = directory.map(|directory| directory.join(format!("accelerator-{architecture}.json")));
    if let Some(kept) = cache.as_deref().and_then(|path| kept(path, &key)) {
        return Ok(kept);
    }
    let facts = qemu_facts::ask(&qemu).await?;
    let (accelerator, reason) = choose(&qemu, architecture, facts.sandbox).await?;
    let qemu_version = facts.version;
    let verdict = AcceleratorVerdict {
        version: RECORD_VERSION,
        accelerator,
        reason,
        qemu_version,
        sandbox: facts.sandbox,
        key,
    };
    if let Some(path) = &cache {
        // A read-only cache only costs the next caller a probe.
        let _ = keep(path, &verdict);
    }
    Ok(verdict)
}

/// An unreadable or foreign record is as none: it is written anew.
fn kept(path: &Path, key: &VerdictKey) -> Option<AcceleratorVerdict> {
    let text = fs::read(path, limit::RECORD).ok()?;
    let verdict: AcceleratorVerdict = serde_json::from_slice(&text).ok()?;
    (verdict.version == RECORD_VERSION && verdict.key == *key).then_some(verdict)
}

fn keep(path: &Path, verdict: &AcceleratorVerdict) -> Result<(), RuntimeError> {
    let text = serde_json::to_vec_pretty(verdict).unwrap_or_default();
    Ok(atomic::write(path, &text)?)
}

async fn choose(
    qemu: &Path,
    architecture: Architecture,
    sandbox: Sandbox,
) -> Result<(Accelerator, String), RuntimeError> {
    let emulate = |reason: String| Ok((Accelerator::Tcg, reason));
    if architecture != host::ARCHITECTURE {
        let host = host::ARCHITECTURE;
        return emulate(format!(
            "an {architecture} guest on an {host} host is emulated, instruction by instruction: slower"
        ));
    }
    match host::device_access(Path::new(KVM)) {
        DeviceAccess::Missing => {
            return emulate(format!("{KVM} is missing: the guest is emulated, which is slower"));
        }
        DeviceAccess::Denied => {
            return emulate(format!("this user may not open {KVM}: the guest is emulated, which is slower"));
        }
        DeviceAccess::Usable => {}
    }
    Ok(match probe(qemu, architecture, sandbox, Accelerator::Kvm, PROBE_TIME).await? {
        Probe::Passed => (Accelerator::Kvm, format!("a probe guest ran on {KVM} at full speed")),
        Probe::Failed(why) => (Accelerator::Tcg, format!("{KVM} opens but does not run guests: {why}")),
    })
}

/// What became of the probe's guest.
#[derive(Debug, PartialEq, Eq)]
enum Probe {
    Passed,
    Failed(String),
}

async fn probe(
    qemu: &Path,
    architecture: Architecture,
    sandbox: Sandbox,
    accelerator: Accelerator,
    time: Duration,
) -> Result<Probe, RuntimeError> {
    let guest = probe_guest::probe_guest(architecture);
    let directory = tempfile::tempdir().map_err(crate::error::channel_error("make a temporary directory"))?;
    let image = directory.path().join("probe");
    atomic::write(&image, &guest.image)?;
    let mut command = Command::new(qemu);
    command.args(probe_arguments(architecture, sandbox, accelerator, image)).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(|source| RuntimeError::Spawn { program: qemu.to_owned(), source })?;
    // Dropping the future on a timeout kills QEMU.
    let Ok(ended) = tokio::time::timeout(time, child.wait_with_output()).await else {
        let allowed = time.as_millis();
        return Ok(Probe::Failed(format!("a probe guest of 40 million instructions took over {allowed} ms")));
    };
    let output = ended.map_err(crate::error::channel_error("wait for QEMU"))?;
    if output.status.code() == Some(guest.passed) {
        return Ok(Probe::Passed);
    }
    let messages = Tail::new("messages", &output.stderr);
    let last = messages.lines.first().map_or_else(String::new, |line| format!(": {line}"));
    Ok(Probe::Failed(format!("the probe guest's QEMU ended with {}{last}", output.status)))
}

fn probe_arguments(
    architecture: Architecture,
    sandbox: Sandbox,
    accelerator: Accelerator,
    image: PathBuf,
) -> Vec<OsString> {
    let (board, device): (_, &[&str]) = match architecture {
        Architecture::X86_64 => ("microvm", &["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]),
        Architecture::Aarch64 => ("virt", &[]),
    };
    let cpu = match (accelerator, architecture) {
        (Accelerator::Kvm, _) => "host",
        (Accelerator::Tcg, Architecture::X86_64) => "max",
        (Accelerator::Tcg, Architecture::Aarch64) => "cortex-a57",
    };
    let mut arguments: Vec<OsString> =
        ["-M", board, "-accel", accelerator.as_str(), "-cpu", cpu, "-m", "32M"].map(OsString::from).into();
    arguments.extend(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"].map(OsString::from));
    if sandbox == Sandbox::On {
        arguments.extend(["-sandbox", crate::qemu::SANDBOX].map(OsString::from));
    }
    arguments.extend(device.iter().map(OsString::from));
    arguments.extend([OsString::from("-kernel"), image.into()]);
    arguments
}

#[cfg(test)]
mod tests;
