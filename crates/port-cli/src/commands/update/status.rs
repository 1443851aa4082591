//! `port update status` and `metrics`: what is remembered and what boots. Neither changes anything.

use clap::Args;
use port_ops::update::agent::{self as ops, Status};
use port_update::SlotName;

use super::agent::AgentFlags;
use crate::error::CommandError;
use crate::ui::Ui;

/// Arguments of both.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    agent: AgentFlags,
}

impl Arguments {
    fn look(&self) -> Result<Status, CommandError> {
        let settings = self.agent.settings()?;
        Ok(ops::status(&settings.slots()?, &settings.state))
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
    for digest in &state.denied {
        text += &format!("  denied    {digest}\n");
    }
    text
}
