//! `port run --package`: a unikernel, its console on this process's standard input and output.

use std::time::Instant;

use clap::Args;
use port_layout::kraftkit::Query;
use port_model::{Reference, Substrate};
use port_ops::packages::Selection;
use port_ops::run::package::{self as ops, Request};

use super::attach::{self, Keyboard};
use super::{Outcome, capture};
use crate::args::{Format, Global, RegistryFlags, substrate};
use crate::commands::packages::{StoreFlag, Targets};
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
    store: StoreFlag,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl Flags {
    /// A machine of `port.toml` says all of this itself. clap's `requires` does not hold beside an argument that conflicts.
    pub(super) fn refuse(&self) -> Result<(), CommandError> {
        let is_usual = self.substrate.is_none()
            && self.targets.query() == Query::default()
            && self.store.is_usual()
            && !self.registry.plain_http
            && self.registry.ca_file.is_none();
        if is_usual {
            return Ok(());
        }
        let message = "substrate, targets, the store and how a registry is reached can be given for a package \
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
    let request = Request { selection, substrate: flags.substrate, memory_mib, arguments };
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
