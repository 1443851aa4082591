//! `port workload validate`.

use clap::Args;
use port_ops::workload::{self as ops, ValidateReport};

use super::{Source, counted, text};
use crate::args::Global;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Arguments of validate.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Let warnings fail too: keys that nobody knows, values that are ignored.
    #[arg(long)]
    strict: bool,
}

/// Says what is wrong. Any error fails the command, with `--strict` any warning too.
pub(super) async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let strict = arguments.strict;
    let (request, surroundings) = arguments.source.request(global, ui)?;
    let report = ops::validate(&request, &surroundings).await?;
    ui.report(&report, || said(&report))?;
    let (file, counted) = (report.file.display(), counted(report.errors, report.warnings));
    if !report.valid {
        return Err(CommandError::new(Exit::Failed, format!("`{file}` is not valid: {counted}")));
    }
    if strict && report.warnings > 0 {
        return Err(CommandError::new(Exit::Failed, format!("`{file}` is not strictly valid: {counted}")));
    }
    Ok(())
}

fn said(report: &ValidateReport) -> String {
    let findings: String = report.findings.iter().map(text).collect();
    let file = report.file.display();
    match (report.valid, report.warnings) {
        (false, _) => findings,
        (true, 0) => format!("valid {file}\n"),
        (true, warnings) => format!("{findings}valid {file}, with {}\n", counted(0, warnings)),
    }
}
