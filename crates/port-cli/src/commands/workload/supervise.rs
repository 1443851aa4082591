//! `port workload supervise`: what `run` starts, and nobody else.

use std::path::PathBuf;

use clap::Args;
use port_ops::workload::drivers::{Room, Watcher, supervise};

use crate::error::CommandError;

/// Arguments of supervise.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The workload's room.
    #[arg(value_name = "ROOM")]
    room: PathBuf,
    /// Pass on what the workload writes.
    #[arg(long)]
    attached: bool,
}

/// Supervises to the end. How that was is in the record.
pub(super) async fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let watchers = arguments
        .attached
        .then(|| -> [Watcher; 2] { [Box::new(tokio::io::stdout()), Box::new(tokio::io::stderr())] });
    supervise(&Room::at(arguments.room.clone()), watchers).await?;
    Ok(())
}
