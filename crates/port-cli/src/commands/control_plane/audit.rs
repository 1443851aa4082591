//! `port control-plane audit`: whether an audit log is what the server wrote.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use port_server::audit::{self, Head};
use serde::Serialize;

use crate::error::CommandError;
use crate::ui::Ui;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check that a log is one unbroken chain, and print its head to be noted elsewhere.
    Verify(Verify),
}

/// Arguments of verify.
#[derive(Debug, Args)]
pub struct Verify {
    /// The log.
    #[arg(value_name = "FILE")]
    log: PathBuf,
    /// A head that was noted earlier: the log must still hold it.
    #[arg(long, value_name = "LINES:SHA256")]
    head: Option<Head>,
}

#[derive(Serialize)]
struct Report {
    lines: u64,
    head: String,
    torn_bytes: u64,
}

/// Runs a verb.
pub fn run(command: Command, ui: Ui) -> Result<(), CommandError> {
    let Command::Verify(arguments) = command;
    let found = audit::verify(&arguments.log, arguments.head.as_ref())?;
    let report = Report { lines: found.head.lines, head: found.head.to_string(), torn_bytes: found.torn };
    ui.report(&report, || {
        format!("{}: one chain of {} lines\nhead: {}\n", arguments.log.display(), report.lines, report.head)
    })
}
