//! `port run --package`: a unikernel, its console on this process's standard input and output.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use port_layout::kraftkit::Query;
use port_model::{Reference, Substrate};
use port_ops::packages::Selection;
use port_ops::run::package::{
    self as ops, Mac, NetworkAddress, PackageNetwork, PortMapping, Request, TapDevice, TapNetwork, Volume,
};

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
    /// A port of this host's loopback address that leads to one of the unikernel (QEMU), which reaches nothing by itself.
    #[arg(long = "port", value_name = "HOST:GUEST[/tcp|udp]", conflicts_with = "network")]
    ports: Vec<PortMapping>,
    /// A directory of this host, by 9p (QEMU): mounted at a path, or found by a tag; `:ro` refuses writes.
    #[arg(short, long = "volume", value_name = "DIRECTORY:PATH|TAG[:ro]")]
    volumes: Vec<Volume>,
}

impl MachineFlags {
    fn network(&self) -> Option<PackageNetwork> {
        if let Some(device) = self.network.clone() {
            let (mac, address) = (self.mac.clone(), self.ip.clone());
            return Some(PackageNetwork::Tap(TapNetwork { device, mac, address }));
        }
        (!self.ports.is_empty()).then(|| PackageNetwork::Published(self.ports.clone()))
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
        let message = "substrate, targets, environment, initrd, network, ports, volumes, the store and how a registry is reached can be given for a package \
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
        volumes: flags.machine.volumes.clone(),
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
