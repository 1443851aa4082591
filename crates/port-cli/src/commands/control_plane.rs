//! `port control-plane`: the server that keeps artifacts for others (docs/control-plane.md).

mod log;
mod serve;

use clap::Subcommand;

use crate::args::Global;
use crate::error::CommandError;
use crate::ui::Ui;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer: an OCI registry and Port's hosted API over one store, until told to stop.
    Serve(serve::Arguments),
}

/// Runs a verb.
pub async fn run(command: Command, global: &Global, ui: Ui) -> Result<(), CommandError> {
    match command {
        Command::Serve(arguments) => serve::run(arguments, global, ui).await,
    }
}
