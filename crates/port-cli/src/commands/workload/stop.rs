//! `port workload stop` and `port workload remove`.

use std::time::Duration;

use clap::Args;
use port_ops::workload::drivers::{Stopped, stop};
use serde_json::json;

use super::rooms;
use crate::error::CommandError;
use crate::ui::Ui;

/// Arguments of stop.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The workload.
    #[arg(value_name = "NAME")]
    name: String,
    /// How many seconds it has to end before it is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u32,
    #[command(flatten)]
    rooms: rooms::Rooming,
}

/// Stops it.
pub(super) async fn run(arguments: &Arguments, ui: Ui) -> Result<(), CommandError> {
    let room = arguments.rooms.rooms().known(&arguments.name)?;
    let (how, said) = match stop(&room, Duration::from_secs(arguments.grace.into())).await? {
        Stopped::Asked => ("asked", "stopped"),
        Stopped::Killed => ("killed", "killed"),
    };
    ui.report(&json!({ "name": room.name(), "stopped": how }), || format!("{said} {}\n", room.name()))
}

/// Arguments of remove.
#[derive(Debug, Args)]
pub struct RemoveArguments {
    /// The workload.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    rooms: rooms::Rooming,
}

/// Removes its room.
pub(super) fn remove(arguments: &RemoveArguments, ui: Ui) -> Result<(), CommandError> {
    let room = arguments.rooms.rooms().known(&arguments.name)?;
    room.remove()?;
    ui.report(&json!({ "name": room.name(), "removed": true }), || format!("removed {}\n", room.name()))
}
