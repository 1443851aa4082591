//! One file per verb: its arguments, the call into `port-ops`, the report.

pub mod artifacts;
pub mod base_images;
pub mod completions;
pub mod control_plane;
pub mod doctor;
pub mod keys;
pub mod login;
pub mod logout;
pub mod packages;
pub mod run;
pub mod store;
pub mod update;
pub mod workload;

use std::path::Path;

use port_model::Architecture;
use port_ops::login::RegistryAccess;
use port_ops::trust::Policies;
use port_ops::{OpsError, Workspace};

use crate::args::{Cli, Command, Global, RegistryFlags};
use crate::error::CommandError;
use crate::ui::Ui;
use crate::{env_vars, host, progress};

/// Runs the command; the number is the exit code of a success (or of the guest's command).
pub async fn dispatch(cli: Cli, ui: Ui) -> Result<u8, CommandError> {
    match cli.command {
        Command::Artifacts(command) => artifacts::run(command, &cli.global, ui).await,
        Command::BaseImages(command) => base_images::run(command, &cli.global, ui).await.map(|()| 0),
        Command::Packages(command) => packages::run(command, &cli.global, ui).await.map(|()| 0),
        Command::Run(arguments) => run::run(arguments, &cli.global, ui).await,
        Command::ControlPlane(command) => control_plane::run(command, &cli.global, ui).await.map(|()| 0),
        Command::Store(command) => store::run(&command, &cli.global, ui).await.map(|()| 0),
        Command::Update(command) => update::run(command, &cli.global, ui).await,
        Command::Keys(command) => keys::run(command, ui).await,
        Command::Workload(command) => workload::run(command, &cli.global, ui).await,
        Command::Login(arguments) => login::run(arguments, &cli.global, ui).await,
        Command::Logout(arguments) => logout::run(arguments, ui).await.map(|()| 0),
        Command::Doctor(arguments) => doctor::run(&arguments, &cli.global, ui).await.map(|()| 0),
        Command::Completions(arguments) => completions::run(&arguments, ui).map(|()| 0),
    }
}

/// How registries are reached by a command that needs no configuration. What the configuration says of them counts, where
/// there is one; the usual one may be about something else, and broken.
pub fn access(flags: &RegistryFlags, global: &Global, ui: Ui) -> Result<RegistryAccess, CommandError> {
    let mut access = RegistryAccess::from(flags.clone());
    let is_default = global.config == Path::new("port.toml");
    if is_default && !port_content::fs::exists(&global.config) {
        return Ok(access);
    }
    match access.read_settings(&global.config, host::architecture()?) {
        Err(error) if is_default => {
            let error = CommandError::from(error);
            ui.note(&format!("warning: `registries` of `port.toml` is not used: {}", error.reason()));
        }
        read => read?,
    }
    Ok(access)
}

/// The trust policies that hold for a command that needs no configuration: the machine's, and the one beside `port.toml`.
pub fn policies(global: &Global) -> Result<Policies, OpsError> {
    Ok(Policies::beside(env_vars::trust_policy(), &global.config)?)
}

/// Opens the workspace that the global flags name.
pub fn workspace(global: &Global, ui: Ui) -> Result<Workspace, CommandError> {
    let architecture = host::architecture()?;
    let environment = env_vars::environment(architecture);
    let reporter = progress::reporter(ui, global.progress);
    Workspace::open(&global.config, architecture, environment, reporter).map_err(CommandError::from)
}

/// The same for what needs no configuration: without one, what Port keeps lies in the user's cache directory.
pub fn workspace_if_configured(global: &Global, ui: Ui) -> Result<Workspace, CommandError> {
    Ok(open_if_configured(global, host::architecture()?, ui)?)
}

/// The same, for who opens it where it is needed.
pub fn open_if_configured(
    global: &Global,
    architecture: Architecture,
    ui: Ui,
) -> Result<Workspace, OpsError> {
    let environment = env_vars::environment(architecture);
    let reporter = progress::reporter(ui, global.progress);
    if global.config != Path::new("port.toml") || port_content::fs::exists(&global.config) {
        return Workspace::open(&global.config, architecture, environment, reporter);
    }
    let Some(directory) = env_vars::cache_directory() else {
        let reason =
            "there is no place to keep anything: expected `port.toml`, `XDG_CACHE_HOME` or `HOME`".to_owned();
        return Err(OpsError::Taken { reason });
    };
    Workspace::without_project(&directory, architecture, environment, reporter)
}

/// The same for work on the store alone.
pub fn workspace_for_store(global: &Global, ui: Ui) -> Result<Workspace, CommandError> {
    let architecture = host::architecture()?;
    let environment = env_vars::environment(architecture);
    let reporter = progress::reporter(ui, global.progress);
    Workspace::open_for_store(&global.config, architecture, environment, reporter).map_err(CommandError::from)
}
