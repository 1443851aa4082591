//! `port update apply`.

use clap::Args;
use port_ops::update::agent::{ApplyReport, Outcome, apply};

use super::agent::{AgentFlags, DEFERRED, UP_TO_DATE, at, code_of};
use super::follow::FollowFlags;
use crate::args::Global;
use crate::error::CommandError;
use crate::ui::Ui;

/// Arguments of apply.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub struct Arguments {
    #[command(flatten)]
    agent: AgentFlags,
    #[command(flatten)]
    follow: FollowFlags,
}

/// Brings it, and says what became of it.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    let settings = arguments.agent.settings()?;
    let follow = arguments.follow;
    let followed = follow.followed(&settings.config, global, ui)?;
    let profile = follow.profile(&settings.config)?;
    let mut agent = match settings.agent(ui)? {
        Ok(agent) => agent,
        Err(error) => return Ok(code_of(error, ui)),
    };
    match apply(&mut agent, &followed, &profile, follow.force()).await {
        Ok(report) => {
            ui.report(&report, || text(&report))?;
            Ok(code(&report))
        }
        Err(error) => Ok(code_of(error, ui)),
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
            let until = until.map_or_else(String::new, |until| format!(", until {}", at(until)));
            format!("{what} waits: {reason}{until}\n")
        }
    }
}
