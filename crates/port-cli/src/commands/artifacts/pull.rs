//! `port artifacts pull`.

use clap::Args;
use port_backend::ErrorKind;
use port_ops::{OpsError, Workspace};

use super::{targets, transfer};
use crate::args::TargetArguments;
use crate::error::CommandError;
use crate::ui::Ui;

/// Arguments of pull.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// Fetch every variant that is published.
    #[arg(long, conflicts_with_all = ["architecture", "substrate", "protection_mode"])]
    all_variants: bool,
}

pub(super) async fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    let mut reports = Vec::new();
    let mut absent = None;
    for target in targets(workspace, &arguments.target, arguments.all_variants)? {
        match port_ops::pull(workspace, target).await {
            Ok(report) => reports.push(report),
            Err(OpsError::Backend(error)) if arguments.all_variants && error.kind == ErrorKind::NotFound => {
                workspace.note(format!("skipped `{}`: it is not published", target.variant()));
                absent = Some(OpsError::Backend(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match absent {
        Some(error) if reports.is_empty() => Err(error.into()),
        _ => transfer::report(ui, "pulled", &reports, arguments.all_variants),
    }
}
