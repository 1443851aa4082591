//! `port update status` and `metrics`: what is remembered and what boots. Neither changes anything.

use clap::Args;
use port_model::Digest;
use port_ops::update::agent::{self as ops, Status};
use port_update::SlotName;
use port_update::machine::Phase;
use serde::Serialize;

use super::agent::{AgentFlags, at, code_of};
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Arguments of both.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    agent: AgentFlags,
}

/// Arguments of allow.
#[derive(Debug, Args)]
pub struct Allow {
    /// What is denied here, as `status` shows it.
    #[arg(value_name = "DIGEST", required_unless_present = "all")]
    digests: Vec<Digest>,
    /// Everything that is denied here.
    #[arg(long, conflicts_with = "digests")]
    all: bool,
    #[command(flatten)]
    agent: AgentFlags,
}

/// What was allowed again.
#[derive(Debug, Serialize)]
struct Allowed {
    allowed: Vec<Digest>,
}

/// Takes denials back.
pub fn allow(arguments: &Allow, ui: Ui) -> Result<u8, CommandError> {
    let opened = arguments.agent.settings()?.agent(ui)?;
    let allowed = match opened.and_then(|mut agent| agent.allow(&arguments.digests)) {
        Ok(allowed) => allowed,
        Err(error) => return Ok(code_of(error, ui)),
    };
    if let Some(absent) = arguments.digests.iter().find(|digest| !allowed.contains(digest)) {
        let message = format!("{absent} was not denied here");
        return Err(CommandError::new(Exit::NotFound, message).hint("`port update status` shows what is"));
    }
    let report = Allowed { allowed };
    ui.report(&report, || {
        let lines = report.allowed.iter().map(|digest| format!("{digest} may be taken again\n"));
        lines.collect()
    })?;
    Ok(0)
}

impl Arguments {
    fn look(&self) -> Result<Status, CommandError> {
        let settings = self.agent.settings()?;
        Ok(ops::status(&settings.slots()?, &settings.state)?)
    }
}

/// Where the update is.
pub fn status(arguments: &Arguments, ui: Ui) -> Result<u8, CommandError> {
    let status = arguments.look()?;
    ui.report(&status, || text(&status))?;
    Ok(0)
}

/// The same for Prometheus.
pub fn metrics(arguments: &Arguments, ui: Ui) -> Result<u8, CommandError> {
    let status = arguments.look()?;
    ui.data(&status.metrics())?;
    Ok(0)
}

fn text(status: &Status) -> String {
    let state = &status.record.state;
    let mut text = format!("{}\n", status.phase);
    if let Some(attempt) = &state.attempt {
        text += &format!("  release   {} ({})\n", attempt.target.version, attempt.target.digest);
    }
    match &status.slots {
        Some(evidence) => {
            for slot in SlotName::BOTH {
                let holds = evidence.header(slot).map(|header| header.target.version.to_string());
                let runs = if evidence.boot.running == slot { ", runs" } else { "" };
                let kept = if evidence.boot.kept == slot { ", kept" } else { "" };
                let holds = holds.unwrap_or_else(|| "nothing that Port wrote".to_owned());
                text += &format!("  slot {slot}    {holds}{runs}{kept}\n");
            }
            if let Some(trial) = evidence.boot.trial {
                text += &format!("  trial     slot {}, {} tries left\n", trial.slot, trial.tries);
            }
        }
        None => text += "  slots     cannot be read\n",
    }
    if let Some(error) = &status.record.last_error {
        text += &format!("  failed    {error}\n");
    }
    let record = &status.record;
    if let Some(who) = &record.blocked_by {
        text += &format!("  held by   {who}\n");
    }
    if let (Phase::Failed, Some(until)) = (state.phase, state.until) {
        text += &format!("  waits     until {}, after {} failures\n", at(until), state.failures);
    }
    if state.phase == Phase::Degraded {
        text += "  degraded  put a slot right, then say `port update repair`\n";
    }
    for digest in &state.denied {
        let why = record.denials.get(digest).map_or_else(String::new, |denial| {
            let version = denial.version.as_ref().map_or_else(String::new, |version| format!("{version}, "));
            format!(" ({version}{}: {})", at(denial.at), denial.reason)
        });
        text += &format!("  denied    {digest}{why}\n");
    }
    text
}
