//! `port update`: releases of KubeSolo OS, and the agent that takes them.

mod agent;
mod apply;
mod boot;
mod check;
mod fetch;
mod follow;
mod index;
mod publish;
mod release;
mod sign;
mod status;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use port_model::Architecture;
use port_ops::update::{Publisher, RepositoryPlace};

use crate::args::{Global, RegistryFlags};
use crate::commands::access;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::{env_vars, host, progress};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a kernel and an initramfs as the release of one architecture.
    // `--version` is the release's here.
    #[command(disable_version_flag = true)]
    Publish(publish::Arguments),
    /// Compose the index of a release from what is published, and move its channel there.
    #[command(disable_version_flag = true)]
    Index(index::Arguments),
    /// Say which release is offered, and whether this machine takes it; nothing is fetched.
    Check(check::Arguments),
    /// Fetch the kernel and the initramfs of the release that a tag offers.
    Fetch(fetch::Arguments),
    /// Sign what a tag leads to as a numbered release.
    Sign(sign::Arguments),
    /// Releases and their channels.
    #[command(subcommand)]
    Release(release::Command),
    /// Bring the release that this machine follows into the slot that does not run.
    Apply(apply::Arguments),
    /// Let the next boot try what was brought.
    Activate(boot::Boot),
    /// Ask whether what runs is well, and keep it, or take the way back.
    Healthcheck(boot::Healthcheck),
    /// Let the next boot be of what ran before.
    Rollback(boot::Boot),
    /// Say that what runs is good, after no slot was, and let updates go on.
    Repair(boot::Repair),
    /// Let releases be taken again that were left, or withdrawn.
    Allow(status::Allow),
    /// Say where the update of this machine is.
    Status(status::Arguments),
    /// Say the same for Prometheus.
    Metrics(status::Arguments),
}

/// Runs a verb; the number is the exit code.
pub async fn run(command: Command, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    match command {
        Command::Publish(arguments) => publish::run(arguments, global, ui).await.map(|()| 0),
        Command::Index(arguments) => index::run(arguments, global, ui).await.map(|()| 0),
        Command::Check(arguments) => check::run(arguments, global, ui).await,
        Command::Fetch(arguments) => fetch::run(arguments, global, ui).await.map(|()| 0),
        Command::Sign(arguments) => sign::run(arguments, global, ui).await,
        Command::Release(command) => release::run(command, global, ui).await,
        Command::Apply(arguments) => apply::run(arguments, global, ui).await,
        Command::Activate(arguments) => boot::activate(arguments, ui).await,
        Command::Healthcheck(arguments) => boot::healthcheck(arguments, ui).await,
        Command::Rollback(arguments) => boot::rollback(arguments, ui).await,
        Command::Repair(arguments) => boot::repair(&arguments, ui),
        Command::Allow(arguments) => status::allow(&arguments, ui),
        Command::Status(arguments) => status::status(&arguments, ui),
        Command::Metrics(arguments) => status::metrics(&arguments, ui),
    }
}

/// Where releases are, and how they are reached.
#[derive(Debug, Args)]
struct Place {
    /// The repository of the releases.
    #[arg(long, value_name = "HOST/PATH")]
    repository: RepositoryPlace,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl Place {
    fn publisher(&self, global: &Global, ui: Ui) -> Result<Publisher, CommandError> {
        let environment = env_vars::environment(host::architecture()?);
        let reporter = progress::reporter(ui, global.progress);
        let access = access(&self.registry, global, ui)?;
        Ok(Publisher { access, credential_paths: environment.credential_paths, reporter })
    }
}

/// In the names of the releases' tags.
fn architecture() -> impl TypedValueParser<Value = Architecture> {
    let words = [
        PossibleValue::new("amd64").aliases(["x86-64", "x86_64"]),
        PossibleValue::new("arm64").alias("aarch64"),
    ];
    PossibleValuesParser::new(words).map(|word| match word.as_str() {
        "amd64" | "x86-64" | "x86_64" => Architecture::X86_64,
        _ => Architecture::Aarch64,
    })
}
