//! `port run --package`: a unikernel, its console on this process's standard input and output.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use port_layout::kraftkit::Query;
use port_model::{Reference, Substrate};
use port_ops::packages::Selection;
use port_ops::run::package::{self as ops, Mac, NetworkAddress, PackageNetwork, Request, TapDevice};

use super::attach::{self, Keyboard};
use super::{Outcome, capture};
use crate::args::{Format, Global, RegistryFlags, substrate};
use crate::commands::packages::{StoreFlag, Targets, environment_of};
use crate::error::{CommandError, Exit};
use crate::terminal::RawMode;
use crate::ui::Ui;
use crate::{env_vars, host};

/// What only packages take.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// What a package runs on; else what it is packed for says so. Cloud Hypervisor boots packages for QEMU.
    #[arg(long, help_heading = "Packages", value_parser = substrate())]
    substrate: Option<Substrate>,
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    machine: MachineFlags,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// What the machine has, beside what was packed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Packages")]
struct MachineFlags {
    /// An entry of the environment, in place of the package's own; `KEY` alone takes the value that it has here.
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    env: Vec<String>,
    /// An initrd in place of the package's.
    #[arg(long, alias = "rootfs", value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// A network card, whose other end is this tap device of the host.
    #[arg(long, value_name = "tap:DEVICE")]
    network: Option<TapDevice>,
    /// The unikernel's address, said to it as kraft says it (IPv4) [default: it asks the network].
    #[arg(long, value_name = "ADDRESS/PREFIX[:GATEWAY]", requires = "network")]
    ip: Option<NetworkAddress>,
    /// The card's own address [default: made of the device's name].
    #[arg(long, value_name = "MAC", requires = "network")]
    mac: Option<Mac>,
    /// kraft's word: refused.
    #[arg(long, hide = true, value_name = "HOST:GUEST")]
    port: Vec<String>,
    /// kraft's word: refused.
    #[arg(short, long, hide = true, value_name = "HOST:GUEST")]
    volume: Vec<String>,
}

impl MachineFlags {
    /// kraft's words for what no driver gives a unikernel here.
    fn refuse_what_is_not_there(&self) -> Result<(), CommandError> {
        let refuse = |what, found: &str, expected| {
            let message = format!("`{found}`: a package's machine has no {what}");
            Err(CommandError::new(Exit::Usage, message).hint(expected))
        };
        if let Some(port) = self.port.first() {
            return refuse(
                "published ports",
                port,
                "give it a network card with `--network tap:DEVICE`, and reach it at its address",
            );
        }
        match self.volume.first() {
            Some(volume) => refuse("volumes", volume, "give it its files in an initrd, with `--initrd FILE`"),
            None => Ok(()),
        }
    }

    fn network(&self) -> Option<PackageNetwork> {
        let device = self.network.clone()?;
        Some(PackageNetwork { device, mac: self.mac.clone(), address: self.ip.clone() })
    }
}

impl Flags {
    /// A machine of `port.toml` says all of this itself. clap's `requires` does not hold beside an argument that conflicts.
    pub(super) fn refuse(&self) -> Result<(), CommandError> {
        let is_usual = self.substrate.is_none()
            && self.targets.query() == Query::default()
            && self.machine == MachineFlags::default()
            && self.store.is_usual()
            && !self.registry.plain_http
            && self.registry.ca_file.is_none();
        if is_usual {
            return Ok(());
        }
        let message = "substrate, targets, environment, initrd, network, the store and how a registry is reached can be given for a package \
                       alone: expected `--package` with these flags";
        Err(CommandError::new(Exit::Usage, message))
    }
}

/// Boots a package and stays with it until it ends, or the person leaves with Ctrl-].
pub(super) async fn run(
    package: Reference,
    flags: Flags,
    memory_mib: Option<u32>,
    arguments: Vec<String>,
    global: &Global,
    ui: Ui,
) -> Result<Outcome, CommandError> {
    let began = Instant::now();
    flags.machine.refuse_what_is_not_there()?;
    let packages = flags.store.with_policies(&flags.registry, global, ui)?;
    let selection = Selection { reference: package, query: flags.targets.query() };
    let memory_mib = memory_mib.unwrap_or(ops::DEFAULT_MEMORY_MIB);
    let request = Request {
        selection,
        substrate: flags.substrate,
        memory_mib,
        arguments,
        environment: environment_of(&flags.machine.env)?,
        initrd: flags.machine.initrd.clone(),
        network: flags.machine.network(),
    };
    let plan = ops::plan(packages, request).await?;
    let environment = env_vars::environment(host::architecture()?);
    let verdicts = env_vars::cache_directory().map(|directory| directory.join("accelerator"));
    let mut machine = ops::boot(&plan, &environment.path, verdicts).await?;
    let stream = machine.take_console().ok_or_else(|| {
        CommandError::new(Exit::Bug, "the driver gave no console although one was asked for")
    })?;
    let mut captured = Vec::new();
    let raw = RawMode::enter();
    let show = |bytes: &[u8]| match ui.format {
        Format::Text => ui.raw_stdout(bytes),
        Format::Json => capture(&mut captured, bytes, "the package"),
    };
    let left = attach::join(stream, &mut tokio::io::stdin(), Keyboard::Plain, show).await;
    drop(raw);
    let left = match left {
        Ok(left) => left,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Outcome::ReaderGone),
        Err(error) => {
            return Err(CommandError::new(Exit::Failed, format!("the console cannot be shown: {error}")));
        }
    };
    let report = ops::finish(&plan, machine, began, left).await?;
    if ui.format == Format::Json {
        let console = String::from_utf8_lossy(&captured);
        let substrate = plan.substrate.as_str();
        let report = serde_json::json!({
            "run": report, "manifest": plan.manifest, "substrate": substrate, "console": console
        });
        ui.report(&report, String::new)?;
    }
    Ok(Outcome::Report(report))
}
