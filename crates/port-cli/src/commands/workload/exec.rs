//! `port workload exec`.

use std::os::unix::process::ExitStatusExt as _;

use clap::Args;
use port_ops::workload::drivers::{Entry, enter};
use port_runtime::agent::Channel;

use super::rooms;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Arguments of exec.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The workload.
    #[arg(value_name = "NAME")]
    name: String,
    /// What runs in it.
    #[arg(last = true, value_name = "COMMAND", required = true)]
    command: Vec<String>,
    #[command(flatten)]
    rooms: rooms::Rooming,
}

/// Runs the command on this command's own streams; the exit code is its.
pub(super) async fn run(arguments: &Arguments, ui: Ui) -> Result<u8, CommandError> {
    let room = arguments.rooms.rooms().known(&arguments.name)?;
    let code = match enter(&room, &arguments.command)? {
        Entry::Process(mut command) => {
            let failed = |error: std::io::Error| {
                CommandError::new(
                    Exit::Failed,
                    format!("the command cannot be started in `{}`: {error}", room.name()),
                )
            };
            let status = command.status().await.map_err(failed)?;
            status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
        }
        Entry::Visitor(visitor) => {
            let mut on_output = |channel: Channel, bytes: &[u8]| match channel {
                Channel::Stderr => ui.raw_stderr(bytes),
                _ => ui.raw_stdout(bytes),
            };
            visitor.run(&mut tokio::io::stdin(), &mut on_output).await?
        }
    };
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
