//! `port update release promote`: a release of one channel in another.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use port_ops::update::agent::AgentError;
use port_ops::update::{PromoteReport, PromoteRequest, SourceSigner, promote};
use port_update::Class;

use super::Place;
use super::agent::code_of;
use super::sign::{self, StatementFlags};
use crate::args::Global;
use crate::error::CommandError;
use crate::ui::Ui;

/// The verbs of releases.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let another channel have what a channel has, without building or moving anything.
    Promote(Promote),
}

/// Arguments of promote.
#[derive(Debug, Args)]
pub struct Promote {
    /// The channel that has it.
    #[arg(long, value_name = "CHANNEL")]
    from: String,
    /// The channel that is to have it.
    #[arg(long, value_name = "CHANNEL")]
    to: String,
    /// Its number in the channel that is to have it: machines take no lower one.
    #[arg(long, value_name = "N", requires = "key")]
    sequence: Option<u64>,
    /// Sign it for that channel with this private key, before the channel moves.
    #[arg(long, value_name = "FILE", requires = "sequence")]
    key: Option<PathBuf>,
    /// What the source must be signed with, in place of `--key` itself: a public key.
    #[arg(long, value_name = "FILE", requires = "key")]
    from_pubkey: Option<PathBuf>,
    /// Sign a source that nobody signed: whoever can move its tag then has anything signed.
    #[arg(long, requires = "key", conflicts_with = "from_pubkey")]
    unsigned_source: bool,
    /// Move the channel even to an older release.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    statement: StatementFlags,
    #[command(flatten)]
    place: Place,
}

/// Runs a verb; the number is the exit code.
pub async fn run(command: Command, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    let Command::Promote(arguments) = command;
    let publisher = arguments.place.publisher(global, ui)?;
    let key = match &arguments.key {
        Some(key) => match arguments.statement.open(key, ui).await? {
            Some(key) => Some(key),
            None => return Ok(130),
        },
        None => None,
    };
    let place = arguments.place.repository;
    // clap asks for both or none; the tag is what will be written.
    let said = arguments.statement.request(place.clone(), String::new(), arguments.sequence.unwrap_or(0));
    let (from, to, overwrite) = (arguments.from, arguments.to, arguments.overwrite);
    let source = match (arguments.from_pubkey, arguments.unsigned_source) {
        (Some(key), _) => SourceSigner::Key(key),
        (None, true) => SourceSigner::Nobody,
        (None, false) => SourceSigner::Same,
    };
    let request = PromoteRequest { place, from, to, overwrite, source };
    match promote(&publisher, request, key.as_ref().map(|key| (said, key))).await {
        Ok(report) => {
            ui.report(&report, || text(&report))?;
            Ok(0)
        }
        // What is published is said as by the other verbs of a publisher.
        Err(AgentError::Update(error)) => Err(error.into()),
        Err(error) if error.class() == Some(Class::Signature) => {
            let code = error.exit_code();
            let hint = "what is promoted must be signed: name its key with `--from-pubkey`, or say `--unsigned-source`";
            CommandError::from(error).hint(hint).print(ui);
            Ok(code)
        }
        Err(error) => Ok(code_of(error, ui)),
    }
}

fn text(report: &PromoteReport) -> String {
    let PromoteReport { repository, from, to, version, index, .. } = report;
    let mut text = format!("{repository}:{to} has {version} now, as {from} has it\n  index     {index}\n");
    if let Some(replaced) = &report.replaced {
        text += &format!("  replaced  {replaced}\n");
    }
    match &report.signed {
        Some(signed) => text += &sign::text(signed),
        None => text += "  signed    by nobody: `port update sign` does so\n",
    }
    text
}
