//! `port update apply`.

use std::path::PathBuf;

use clap::Args;
use port_ops::OpsError;
use port_ops::trust::Policies;
use port_ops::update::agent::{ApplyReport, Followed, Outcome, Profile, Trust, apply};
use port_ops::update::{Publisher, RepositoryPlace};
use port_update::Version;
use port_update::config::{Config, Unsigned};
use port_update::gates::Force;
use port_update::window::Window;

use super::agent::{AgentFlags, code_of, usage};
use crate::args::{Global, RegistryFlags};
use crate::commands::access;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::{env_vars, host, progress};

/// The channel where nobody says one (acceptance Ou-22).
const CHANNEL: &str = "stable";
/// What tells this machine from others.
const MACHINE_ID: &str = "/etc/machine-id";
/// Not yet, and nothing new: neither is a failure.
const DEFERRED: u8 = 11;
const UP_TO_DATE: u8 = 10;

/// Arguments of apply.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub struct Arguments {
    #[command(flatten)]
    agent: AgentFlags,
    /// The repository of the releases.
    #[arg(long, value_name = "HOST/PATH", conflicts_with = "server")]
    registry: Option<RepositoryPlace>,
    /// What is followed there [default: the channel]
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// The repository as `oci://HOST/PATH` or `HOST/PATH`, as KubeSolo's `server` may say.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The channel that this machine follows [default: stable]
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// What runs now, where the slots do not say it.
    #[arg(long, value_name = "VERSION")]
    current_version: Option<Version>,
    /// Take what this key signed, and nothing else.
    #[arg(long, value_name = "FILE", conflicts_with = "allow_unsigned")]
    pubkey: Option<PathBuf>,
    /// When this machine may be disturbed, in UTC: `HH:MM-HH:MM`.
    #[arg(long, value_name = "WINDOW")]
    maintenance_window: Option<Window>,
    /// Take what nobody signed: whoever can write to the place can install anything here.
    #[arg(long)]
    allow_unsigned: bool,
    /// Wait for no window, wave or inhibitor. What is refused stays refused.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    access: RegistryFlags,
}

/// Brings it, and says what became of it.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    let settings = arguments.agent.settings()?;
    let config = &settings.config;
    let channel = arguments.channel.clone().or_else(|| config.channel.clone());
    let channel = channel.unwrap_or_else(|| CHANNEL.to_owned());
    let (place, tag) = place(&arguments, config)?;
    let trust = trust(&arguments, config)?;
    let environment = env_vars::environment(host::architecture()?);
    let registry = Publisher {
        access: access(&arguments.access, global, ui)?,
        credential_paths: environment.credential_paths,
        reporter: progress::reporter(ui, global.progress),
    };
    let followed = Followed { registry, place, tag: tag.unwrap_or_else(|| channel.clone()), trust };
    let seed = port_content::fs::read_to_string(std::path::Path::new(MACHINE_ID), 256);
    let profile = Profile {
        name: config.name.clone().unwrap_or_default(),
        channel,
        architecture: host::architecture()?,
        variant: config.variant.clone().unwrap_or_default(),
        current: arguments.current_version,
        seed: seed.unwrap_or_else(|_| host::name()),
        window: arguments.maintenance_window.unwrap_or(config.maintenance_window),
        inhibit_directory: config.inhibit_directory.clone(),
    };
    let force = if arguments.force { Force::Skip } else { Force::No };
    let mut agent = match settings.agent(ui)? {
        Ok(agent) => agent,
        Err(error) => return Ok(code_of(error, ui)),
    };
    match apply(&mut agent, &followed, &profile, force).await {
        Ok(report) => {
            ui.report(&report, || text(&report))?;
            Ok(code(&report))
        }
        Err(error) => Ok(code_of(error, ui)),
    }
}

/// Where releases are: the command line's place replaces all that the file says of it (acceptance Ou-23, C-41).
fn place(arguments: &Arguments, config: &Config) -> Result<(RepositoryPlace, Option<String>), CommandError> {
    let tag = arguments.tag.clone();
    if let Some(place) = &arguments.registry {
        return Ok((place.clone(), tag));
    }
    if let Some(server) = &arguments.server {
        return Ok((repository(server)?, tag));
    }
    let tag = tag.or_else(|| config.tag.clone());
    match (&config.registry, &config.server) {
        (Some(registry), _) => Ok((repository(registry)?, tag)),
        (None, Some(server)) => Ok((repository(server)?, tag)),
        (None, None) => Err(usage("nobody says where releases are".to_owned())
            .hint("say `--registry HOST/PATH`, or `registry = HOST/PATH` in the update configuration")),
    }
}

fn repository(text: &str) -> Result<RepositoryPlace, CommandError> {
    if text.starts_with("http://") || text.starts_with("https://") {
        let message = format!("`{text}` is the address of a web server: expected a registry's `HOST/PATH`");
        return Err(usage(message).hint("publish releases to a registry with `port update publish`"));
    }
    let bare = text.strip_prefix("oci://").unwrap_or(text);
    bare.parse().map_err(|error| usage(format!("`{text}`: {error}")))
}

/// Whose releases are taken. Keys and "anybody" are never both.
fn trust(arguments: &Arguments, config: &Config) -> Result<Trust, CommandError> {
    if arguments.allow_unsigned {
        return Ok(Trust::Anybody);
    }
    if let Some(key) = &arguments.pubkey {
        return Ok(Trust::Key(key.clone()));
    }
    let unsigned = config.unsigned == Unsigned::Allowed;
    match (&config.pubkey, &config.trust_policy, unsigned) {
        (None, None, true) => Ok(Trust::Anybody),
        (_, _, true) | (Some(_), Some(_), _) => Err(usage(
            "`pubkey`, `trust_policy` and `unsigned = allowed`: expected one of them in the update configuration"
                .to_owned(),
        )),
        (Some(key), None, false) => Ok(Trust::Key(key.clone())),
        (None, said, false) => {
            let paths: Vec<PathBuf> = said.clone().or_else(env_vars::trust_policy).into_iter().collect();
            Ok(Trust::Policies(Policies::load(&paths).map_err(OpsError::from)?))
        }
    }
}

fn code(report: &ApplyReport) -> u8 {
    match report.outcome {
        Outcome::Staged { .. } => 0,
        Outcome::UpToDate => UP_TO_DATE,
        Outcome::Deferred { .. } => DEFERRED,
    }
}

fn text(report: &ApplyReport) -> String {
    let what = report.version.as_ref().map_or_else(|| "the update".to_owned(), ToString::to_string);
    match &report.outcome {
        Outcome::Staged { slot } => {
            format!("{what} is in slot {slot}; `port update activate` lets it boot\n")
        }
        Outcome::UpToDate => format!("{what} runs already\n"),
        Outcome::Deferred { reason, until } => {
            let until = until.and_then(|until| jiff::Timestamp::from_second(i64::try_from(until).ok()?).ok());
            let until = until.map_or_else(String::new, |until| format!(", until {until}"));
            format!("{what} waits: {reason}{until}\n")
        }
    }
}
