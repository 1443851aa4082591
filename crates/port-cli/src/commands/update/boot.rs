//! `port update activate`, `healthcheck` and `rollback`.

use std::path::PathBuf;

use clap::Args;
use port_ops::update::agent::{self as ops, Agent, AgentError, BootReport, HealthChecks};

use super::agent::{AgentFlags, Settings, code_of};
use crate::error::CommandError;
use crate::ui::Ui;

/// How long a new system must be well, where nobody says it.
const SOAK_SECONDS: u64 = 30;

/// What boots a machine anew, where nobody says another program.
const REBOOT: &str = "/sbin/reboot";

/// Arguments of activate and rollback.
#[derive(Debug, Args)]
pub struct Boot {
    #[command(flatten)]
    agent: AgentFlags,
    /// Boot this machine anew at once, with the configuration's `reboot_command` [default: /sbin/reboot]
    #[arg(long)]
    reboot: bool,
}

/// Arguments of repair.
#[derive(Debug, Args)]
pub struct Repair {
    #[command(flatten)]
    agent: AgentFlags,
}

/// Arguments of healthcheck.
#[derive(Debug, Args)]
pub struct Healthcheck {
    #[command(flatten)]
    agent: AgentFlags,
    /// A program that ends with 0 when all is well.
    #[arg(long, value_name = "PROGRAM")]
    command: Option<PathBuf>,
    /// An address that answers with success when all is well.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// After how many failed checks of a new system it is left; 0 is never.
    #[arg(long, value_name = "N")]
    auto_rollback_after: Option<u32>,
    /// How long a new system must be well before it is kept [default: 30]
    #[arg(long, value_name = "SECONDS")]
    soak_seconds: Option<u64>,
    /// Where the way back is taken, boot this machine anew at once.
    #[arg(long)]
    reboot: bool,
}

/// Lets the next boot try it.
pub async fn activate(arguments: Boot, ui: Ui) -> Result<u8, CommandError> {
    with(&arguments, ui, ops::activate).await
}

/// Lets the next boot be of what ran before.
pub async fn rollback(arguments: Boot, ui: Ui) -> Result<u8, CommandError> {
    with(&arguments, ui, ops::rollback).await
}

/// Says that what runs is good, after no slot was.
pub fn repair(arguments: &Repair, ui: Ui) -> Result<u8, CommandError> {
    let done = arguments.agent.settings()?.agent(ui)?.and_then(|mut agent| ops::repair(&mut agent));
    said(done, ui)
}

async fn with(
    arguments: &Boot,
    ui: Ui,
    verb: impl FnOnce(&mut Agent) -> Result<BootReport, AgentError>,
) -> Result<u8, CommandError> {
    let settings = arguments.agent.settings()?;
    let mut agent = match settings.agent(ui)? {
        Ok(agent) => agent,
        Err(error) => return Ok(code_of(error, ui)),
    };
    let done = match verb(&mut agent) {
        Ok(report) if report.reboot && arguments.reboot => reboot(&settings, &mut agent).await,
        other => other,
    };
    said(done, ui)
}

async fn reboot(settings: &Settings, agent: &mut Agent) -> Result<BootReport, AgentError> {
    let program = settings.config.reboot_command.clone();
    ops::reboot(agent, &program.unwrap_or_else(|| PathBuf::from(REBOOT))).await
}

/// Asks, keeps, or takes the way back.
pub async fn healthcheck(arguments: Healthcheck, ui: Ui) -> Result<u8, CommandError> {
    let settings = arguments.agent.settings()?;
    let config = &settings.config;
    let checks = HealthChecks {
        command: arguments.command.or_else(|| config.healthcheck_command.clone()),
        url: arguments.url.or_else(|| config.healthcheck_url.clone()),
        auto_rollback_after: arguments.auto_rollback_after.or(config.auto_rollback_after),
        soak_seconds: arguments.soak_seconds.or(config.soak_seconds).unwrap_or(SOAK_SECONDS),
    };
    let mut agent = match settings.agent(ui)? {
        Ok(agent) => agent,
        Err(error) => return Ok(code_of(error, ui)),
    };
    let done = ops::healthcheck(&mut agent, &checks).await;
    let code = said(done, ui)?;
    if arguments.reboot
        && agent.is_going_back()
        && let Err(error) = reboot(&settings, &mut agent).await
    {
        return Ok(code_of(error, ui));
    }
    Ok(code)
}

fn said(done: Result<BootReport, AgentError>, ui: Ui) -> Result<u8, CommandError> {
    match done {
        Ok(report) => {
            ui.report(&report, || text(&report))?;
            Ok(0)
        }
        Err(error) => Ok(code_of(error, ui)),
    }
}

fn text(report: &BootReport) -> String {
    let BootReport { phase, running, next, version, reboot } = report;
    let what = version.as_ref().map_or_else(|| "the update".to_owned(), ToString::to_string);
    let mut text = format!("{what} is {phase}: slot {running} runs, slot {next} boots next\n");
    if *reboot {
        text += "reboot this machine to go on\n";
    }
    text
}
