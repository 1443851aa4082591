//! `port control-plane`: the server that keeps artifacts for others (docs/control-plane.md).

mod audit;
mod edge;
mod gc;
mod log;
mod place;
mod serve;
mod token;
mod upkeep;

use clap::Subcommand;

use crate::args::Global;
use crate::error::CommandError;
use crate::ui::Ui;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer: an OCI registry and Port's hosted API over one store, until told to stop.
    Serve(serve::Arguments),
    /// Remove what nobody needs: uploads that nobody continues, manifests that no tag leads to, blobs that nothing names.
    Gc(gc::Arguments),
    /// Print the OpenAPI document of the hosted API, as the server tells it at `/v1/openapi.json`.
    Openapi,
    /// Make, list and end tokens with scopes.
    #[command(subcommand)]
    Token(token::Command),
    /// Look at an audit log.
    #[command(subcommand)]
    Audit(audit::Command),
}

/// Runs a verb.
pub async fn run(command: Command, global: &Global, ui: Ui) -> Result<(), CommandError> {
    match command {
        Command::Serve(arguments) => serve::run(arguments, global, ui).await,
        Command::Gc(arguments) => gc::run(arguments, global, ui).await,
        Command::Openapi => ui.data(&port_server::openapi_document()),
        Command::Token(command) => token::run(command, global, ui).await,
        Command::Audit(command) => audit::run(command, ui),
    }
}
