//! `port artifacts build`.

use std::fmt::Write as _;

use clap::Args;
use port_ops::{BuildOptions, BuildReport, Workspace};

use super::{subject, targets};
use crate::args::TargetArguments;
use crate::error::CommandError;
use crate::ui::Ui;

/// Arguments of build.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// Take this source alone: its kind, such as `debian-package`, or its number in the list, from 1.
    #[arg(long, value_name = "KIND|NUMBER")]
    source: Option<String>,
    /// Fail where `port.lock` would change.
    #[arg(long, conflicts_with = "update")]
    locked: bool,
    /// Resolve the sources anew and record what they are now.
    #[arg(long)]
    update: bool,
}

pub(super) async fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    let options = BuildOptions {
        source: arguments.source.clone(),
        lock_mode: match (arguments.locked, arguments.update) {
            (true, _) => port_build::LockMode::Locked,
            (_, true) => port_build::LockMode::Update,
            _ => port_build::LockMode::Normal,
        },
    };
    for target in targets(workspace, &arguments.target, false)? {
        let report = port_ops::build(workspace, target, &options).await?;
        ui.report(&report, || text(&report))?;
    }
    Ok(())
}

fn text(report: &BuildReport) -> String {
    let verb = if report.fresh { "built" } else { "up to date:" };
    let subject = subject(report.class, &report.artifact, &report.reference, report.variant);
    let mut text = format!("{verb} {subject} at {}\n", report.path.display());
    for output in &report.outputs {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "file: {}", output.path.display());
        let _ = writeln!(text, "bytes: {}", output.bytes);
        let _ = writeln!(text, "digest: {}", output.digest);
    }
    let _ = writeln!(text, "from: {}", report.provenance);
    if let Some(release) = report.kernel.as_ref().and_then(|kernel| kernel.release.as_ref()) {
        let _ = writeln!(text, "kernel release: {release}");
    }
    text
}
