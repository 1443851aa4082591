//! `port artifacts validate`.

use std::fmt::Write as _;

use clap::Args;
use port_ops::{ValidateOptions, ValidateReport, Workspace};

use super::{subject, targets};
use crate::args::TargetArguments;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Arguments of validate.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// Also boot it with a machine of `port.toml` that uses it, and ask its agent.
    #[arg(long)]
    boot: bool,
}

pub(super) async fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    let options = ValidateOptions { boot: arguments.boot };
    for target in targets(workspace, &arguments.target, false)? {
        let report = port_ops::validate(workspace, target, &options).await?;
        ui.report(&report, || text(&report))?;
        if !report.valid {
            let failed = report.findings.iter().filter(|finding| !finding.passed).count();
            let message = format!(
                "`{}` for `{}` is not valid: {failed} of {} checks failed",
                report.artifact,
                report.variant,
                report.findings.len()
            );
            return Err(CommandError::new(Exit::Failed, message));
        }
    }
    Ok(())
}

fn text(report: &ValidateReport) -> String {
    let verb = if report.valid { "valid" } else { "not valid:" };
    let subject = subject(report.class, &report.artifact, &report.reference, report.variant);
    let mut text = format!("{verb} {subject} at {}\n", report.path.display());
    for finding in &report.findings {
        let mark = if finding.passed { "ok" } else { "FAILED" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{mark:6} {}: {}", finding.check, finding.found);
    }
    text
}
