//! `port workload run`.

use clap::{Args, ValueEnum};
use port_ops::workload::drivers::{Attachment, Record, Started, Status, Vmm};
use port_ops::workload::{self as ops, RootChoice, RunRequest, RunStarted, RunSurroundings};
use rustix::process::Signal;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::{Source, base_image, rooms, text};
use crate::args::{Global, Selectors};
use crate::error::{CommandError, Exit};
use crate::ui::Ui;
use crate::{env_vars, host};

/// Arguments of run.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    rooms: rooms::Rooming,
    #[command(flatten)]
    selectors: Selectors,
    /// Return as soon as it runs: `list`, `logs`, `exec` and `stop` are for it.
    #[arg(long, short)]
    detach: bool,
    /// Run it even where this host cannot keep all that the manifest asks for, and say what is missing.
    #[arg(long)]
    best_effort: bool,
    /// What runs the machine of a `hybrid-kvm` workload [default: the first that is there].
    #[arg(long, value_name = "VMM")]
    vmm: Option<Monitor>,
    /// What runs in it [default: /bin/sh].
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What runs machines.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Monitor {
    /// QEMU, with KVM where it works and its translator where not.
    Qemu,
    /// Firecracker, with KVM.
    Firecracker,
    /// Cloud Hypervisor, with KVM.
    CloudHypervisor,
}

impl From<Monitor> for Vmm {
    fn from(monitor: Monitor) -> Self {
        match monitor {
            Monitor::Qemu => Self::Qemu,
            Monitor::Firecracker => Self::Firecracker,
            Monitor::CloudHypervisor => Self::CloudHypervisor,
        }
    }
}

#[derive(Serialize)]
struct Report<'r> {
    name: &'r str,
    detached: bool,
    warnings: &'r [String],
}

/// Runs it; the exit code is the workload's.
pub(super) async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    let attachment = if arguments.detach { Attachment::Detached } else { Attachment::Attached };
    let host = surroundings(&arguments.rooms)?;
    let (manifest, surroundings) = arguments.source.request(global, ui)?;
    let planned = ops::planned(&manifest, &surroundings).await?;
    for warning in &planned.findings {
        ui.note(text(warning).trim_end());
    }
    // Kept from being pruned as long as this lives: until it is mounted at least.
    let base = match planned.base_image() {
        Some(preset) => Some(base_image::ready(preset, global, ui).await?),
        None => None,
    };
    let base_image = base.as_ref().map(|ready| ready.bundle.rootfs_path.clone());
    let root = RootChoice { selector: arguments.selectors.into(), base_image };
    let (command, best_effort) = (arguments.command, arguments.best_effort);
    let vmm = arguments.vmm.map(Into::into);
    let request = RunRequest { root, command, best_effort, attachment, vmm };
    let RunStarted { room, mut supervisor } = ops::run(&planned, &request, &surroundings, &host).await?;
    let record = match attachment {
        Attachment::Detached => supervisor.running().await?,
        Attachment::Attached => until_it_ends(&mut supervisor).await?,
    };
    for warning in &record.warnings {
        ui.note(&format!("warning: {warning}"));
    }
    if attachment == Attachment::Detached {
        let report = Report { name: room.name(), detached: true, warnings: &record.warnings };
        ui.report(&report, || format!("{} runs\n", room.name()))?;
        return Ok(0);
    }
    Ok(exit_code(&record))
}

/// The first signal asks the workload to end, the next one kills it.
async fn until_it_ends(supervisor: &mut Started) -> Result<Record, CommandError> {
    let listen = |kind| signal(kind).map_err(|error| CommandError::new(Exit::Failed, error.to_string()));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut next = Signal::TERM;
    loop {
        tokio::select! {
            record = supervisor.ended() => return Ok(record?),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        supervisor.tell(next);
        next = Signal::QUIT;
    }
}

fn exit_code(record: &Record) -> u8 {
    match record.status {
        Status::Exited { code } => u8::try_from(code).unwrap_or(u8::MAX),
        _ => Exit::Failed as u8,
    }
}

fn surroundings(rooms: &rooms::Rooming) -> Result<RunSurroundings, CommandError> {
    let architecture = host::architecture()?;
    let no_program = || CommandError::new(Exit::Failed, "the path of `port` itself cannot be told");
    Ok(RunSurroundings {
        rooms: rooms.directory()?,
        user: rustix::process::geteuid().as_raw(),
        path: env_vars::environment(architecture).path,
        launcher: env_vars::launcher(architecture),
        port: env_vars::program().ok_or_else(no_program)?,
        supervise: ["workload", "supervise"].map(str::to_owned).into(),
    })
}
