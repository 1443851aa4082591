//! run: a machine of `port.toml` → a running guest, a command in it, and an end that leaves nothing behind.
//!
//! ```text
//! machine ─► plan (files, verified and fitting; MachineSpec) ─► can this host run it? ─► driver ─► agent ─► exec
//! ```
//!
//! The `qemu` driver boots standard variants made for Firecracker, Cloud Hypervisor and QEMU alike: the same kernel
//! and the same virtio devices. PVM and AVF variants it refuses.

pub mod base_image;
pub mod package;
mod plan;

use std::time::{Duration, Instant};

use port_model::{Architecture, ProtectionMode, Substrate, Variant};
use port_runtime::agent::OnOutput;
use port_runtime::{
    AgentError, Confinement, Console, Driver as _, Ending, GuestCommand, Machine, QemuDriver, RuntimeError,
    SearchPath, accelerator, can_run, doctor, host,
};
use serde::Serialize;
use tokio::io::AsyncRead;

use crate::error::OpsError;
use crate::workspace::Workspace;

pub use plan::{Plan, plan};
pub(crate) use plan::{guest_image, plan_variant};

/// How long a guest has to answer. Emulation on a busy host takes ten times what an idle one does.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where run directories are made: socket paths must stay below 108 bytes (unix(7)).
pub(crate) const RUN_ROOT: &str = "/tmp";

/// What the guest is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A command through the agent; the console goes to the machine's log, if it has one.
    Command,
    /// A shell on the console.
    Console,
}

/// Where the time of a run went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RunTimings {
    /// Until the VMM was started: files verified, accelerator chosen.
    pub prepare: u64,
    /// From there until the guest's console showed its first byte.
    pub firmware: Option<u64>,
    /// From the VMM's start until the agent answered.
    pub boot: Option<u64>,
    /// The command.
    pub command: Option<u64>,
    /// From its end until the VMM had ended.
    pub power_off: Option<u64>,
    /// Everything.
    pub total: u64,
}

/// What a run gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The machine's name, or the package's.
    pub machine: String,
    /// The command's exit code in the guest.
    pub exit_code: i32,
    /// How the machine ended: by the guest, told to quit, or killed.
    pub ending: String,
    /// Where the time went.
    pub timings: RunTimings,
}

/// Boots the plan's machine. The caller drops the machine to end it at once.
pub async fn boot(workspace: &Workspace, plan: &Plan) -> Result<Machine, OpsError> {
    check_host(workspace, plan.variant).await?;
    if let Console::Log(path) = &plan.spec.console {
        // A log's directory is made here; the driver writes files, not trees.
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            port_content::fs::create_dir_all(parent)?;
        }
    }
    Ok(driver(workspace).boot(&plan.spec).await?)
}

/// Boots, waits for the agent, runs `command`, powers off.
///
/// Dropping the future at any await kills the machine and cleans up.
pub async fn run_command(
    workspace: &Workspace,
    plan: &Plan,
    command: GuestCommand,
    stdin: &mut (dyn AsyncRead + Send + Unpin),
    on_output: OnOutput<'_>,
) -> Result<RunReport, OpsError> {
    let began = Instant::now();
    let mut machine = start(workspace, plan).await?;
    let result = machine.run_command(command, stdin, on_output).await;
    let exit_code = exit_code(workspace, result)?;
    finish(plan, machine, began, exit_code).await
}

/// Boots a machine and waits for its agent.
pub async fn start(workspace: &Workspace, plan: &Plan) -> Result<Machine, OpsError> {
    let mut machine = boot(workspace, plan).await?;
    machine.wait_for_agent(PATIENCE).await?;
    Ok(machine)
}

/// The exit code of a command in the guest. A command that does not exist or cannot start is the guest's answer,
/// with the exit code that a shell would give; a guest that went away is an error.
pub fn exit_code(workspace: &Workspace, result: Result<i32, RuntimeError>) -> Result<i32, OpsError> {
    match result {
        Err(RuntimeError::Agent(AgentError::Failed { exit_code: Some(code), message, .. })) => {
            workspace.note(format!("in the guest: {message}"));
            Ok(code)
        }
        result => Ok(result?),
    }
}

/// Ends the machine and reports.
pub async fn finish(
    plan: &Plan,
    mut machine: Machine,
    began: Instant,
    exit_code: i32,
) -> Result<RunReport, OpsError> {
    let ending = machine.shut_down().await?;
    Ok(report(&plan.machine, ending, machine.timings(), began, exit_code))
}

fn report(
    name: &str,
    ending: Ending,
    timings: port_runtime::Timings,
    began: Instant,
    exit_code: i32,
) -> RunReport {
    let between = |from: Option<Instant>, to: Option<Instant>| Some(milliseconds(to?.duration_since(from?)));
    let spawned = Some(timings.spawned);
    RunReport {
        machine: name.to_owned(),
        exit_code,
        ending: word(ending).to_owned(),
        timings: RunTimings {
            prepare: milliseconds(timings.spawned.duration_since(began)),
            firmware: between(spawned, timings.first_console_byte),
            boot: between(spawned, timings.agent_ready),
            command: between(timings.command_started, timings.command_ended),
            power_off: between(timings.command_ended, timings.ended),
            total: milliseconds(began.elapsed()),
        },
    }
}

/// The bare command line that boots the plan's machine without Port around it: console on stdio, no agent.
pub async fn bare_command(workspace: &Workspace, plan: &Plan) -> Result<Vec<String>, OpsError> {
    use port_runtime::qemu::{ConsoleTarget, HostFacts, find, render};
    let driver = driver(workspace);
    let architecture = plan.spec.architecture;
    let qemu = find(architecture, &driver.search)?;
    let verdict = accelerator::verdict(architecture, &driver.search, driver.verdicts.as_deref()).await?;
    let facts = HostFacts {
        accelerator: verdict.accelerator,
        channel: None,
        tsc_khz: host::tsc_khz(),
        sandbox: verdict.sandbox,
        console: ConsoleTarget::Stdio,
        qmp_socket: None,
        agent_socket: std::path::PathBuf::new(),
    };
    let spec = port_runtime::MachineSpec { agent: None, ..plan.spec.clone() };
    let arguments = render(&spec, &facts);
    let words = std::iter::once(qemu.into_os_string()).chain(arguments);
    Ok(words.map(|word| word.to_string_lossy().into_owned()).collect())
}

/// Refuses what this host cannot run, with every reason.
pub(crate) async fn check_host(workspace: &Workspace, variant: Variant) -> Result<(), OpsError> {
    let driver = driver(workspace);
    let firecracker = workspace.environment.pvm_firecracker.as_deref();
    let verdicts = driver.verdicts.as_deref();
    let facts = doctor::run_facts(variant.architecture, &driver.search, verdicts, firecracker).await?;
    match can_run(by_qemu(variant), &facts) {
        Ok(port_runtime::Runnable::Native) => Ok(()),
        Ok(port_runtime::Runnable::Emulated(reason)) => {
            workspace.note(reason);
            Ok(())
        }
        Err(why_not) => Err(OpsError::CannotRun { variant, reasons: why_not.reasons }),
    }
}

/// What the `qemu` driver is asked for when a variant is booted: see the module.
fn by_qemu(variant: Variant) -> Variant {
    let same_devices = matches!(variant.substrate, Substrate::Firecracker | Substrate::CloudHypervisor);
    if same_devices && variant.protection_mode == ProtectionMode::Standard {
        return Variant { substrate: Substrate::Qemu, ..variant };
    }
    variant
}

pub(crate) fn driver(workspace: &Workspace) -> QemuDriver {
    QemuDriver {
        search: SearchPath::new(workspace.environment.path.iter().cloned()),
        run_root: RUN_ROOT.into(),
        verdicts: Some(workspace.work_directory().join("accelerator")),
        confinement: Confinement::default(),
    }
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Guest => "guest",
        Ending::Quit => "quit",
        Ending::Killed => "killed",
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The console device that Linux has on this architecture's QEMU machine.
pub(crate) fn console_device(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "ttyS0",
        Architecture::Aarch64 => "ttyAMA0",
    }
}
