//! `port update check`: what a tag offers; and for a machine, what becomes of it there.
//!
//! ```text
//! check --repository HOST/PATH --tag TAG    what anybody sees
//! check                                     what this machine follows, by the gates of apply
//! ```

use clap::Args;
use port_model::Architecture;
use port_ops::update::agent::{Considered, consider};
use port_ops::update::{self as ops, FetchRequest, Publisher, RepositoryPlace};
use port_update::gates::Decision;

use super::agent::{AgentFlags, DEFERRED, Settings, UP_TO_DATE, at, code_of, usage};
use super::follow::FollowFlags;
use super::{architecture, fetch};
use crate::args::Global;
use crate::commands::access;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::{env_vars, host, progress};

/// Arguments of check.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub struct Arguments {
    /// The repository of which to say what it offers to anybody; without it, this machine's configuration says what is asked, and its
    /// gates what becomes of it.
    #[arg(long, value_name = "HOST/PATH", conflicts_with_all = ["registry", "server", "media"])]
    repository: Option<RepositoryPlace>,
    /// The machine that it is for [default: this one's]
    #[arg(long, value_parser = architecture(), requires = "repository")]
    architecture: Option<Architecture>,
    #[command(flatten)]
    agent: AgentFlags,
    #[command(flatten)]
    follow: FollowFlags,
}

/// Says what there is.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    match arguments.repository.clone() {
        Some(place) => offered(arguments, place, global, ui).await.map(|()| 0),
        None => considered(arguments, global, ui).await,
    }
}

async fn offered(
    arguments: Arguments,
    place: RepositoryPlace,
    global: &Global,
    ui: Ui,
) -> Result<(), CommandError> {
    let Some(tag) = arguments.follow.tag else {
        return Err(usage("`--repository` needs `--tag`: a channel or a version".to_owned()));
    };
    let native = host::architecture()?;
    let access = access(&arguments.follow.access, global, ui)?;
    let credential_paths = env_vars::environment(native).credential_paths;
    let reporter = progress::reporter(ui, global.progress);
    let request = FetchRequest { place, tag, architecture: arguments.architecture.unwrap_or(native) };
    let report = ops::check(&Publisher { access, credential_paths, reporter }, &request).await?;
    ui.report(&report, || fetch::text(&report))
}

async fn considered(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    let settings = arguments.agent.settings()?;
    let follow = arguments.follow;
    let followed = follow.followed(&settings.config, global, ui)?;
    let profile = follow.profile(&settings.config)?;
    let slots = settings.slots()?;
    match consider((&slots, &settings.state), &followed, &profile, &Settings::now(), follow.force()).await {
        Ok(report) => {
            ui.report(&report, || text(&report))?;
            Ok(code(&report.decision))
        }
        Err(error) => Ok(code_of(error, ui)),
    }
}

fn code(decision: &Decision) -> u8 {
    match decision {
        Decision::Take => 0,
        Decision::UpToDate => UP_TO_DATE,
        Decision::Deferred { .. } => DEFERRED,
        Decision::Refused { class, .. } => class.exit_code(),
    }
}

fn text(report: &Considered) -> String {
    let version = &report.version;
    let mut text = match &report.decision {
        Decision::Take => format!("{version} is offered, and may be taken now\n"),
        Decision::UpToDate => format!("{version} runs already\n"),
        Decision::Deferred { reason, until } => {
            let until = until.map_or_else(String::new, |until| format!(", until {}", at(until)));
            format!("{version} is offered, and waits: {reason}{until}\n")
        }
        Decision::Refused { class, reason } => {
            format!("{version} is offered, and not taken ({class}): {reason}\n")
        }
    };
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!("  {name:9} {value}\n");
        }
    };
    fact("runs", report.current.as_ref().map(ToString::to_string));
    fact("digest", Some(report.digest.to_string()));
    fact("number", report.sequence.map(|sequence| sequence.to_string()));
    fact("believed", report.expires.map(|expires| format!("until {}", at(expires))));
    fact("signed", (!report.signed).then(|| "by nobody".to_owned()));
    fact("phase", Some(report.phase.to_string()));
    text
}
