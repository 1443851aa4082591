//! `port artifacts push`.

use clap::Args;
use port_ops::{OpsError, Workspace};

use super::{targets, transfer};
use crate::args::TargetArguments;
use crate::error::CommandError;
use crate::ui::Ui;

/// Arguments of push.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// Publish every variant that exists locally.
    #[arg(long, conflicts_with_all = ["architecture", "substrate", "protection_mode"])]
    all_variants: bool,
}

pub(super) async fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    let mut reports = Vec::new();
    let mut absent = None;
    for target in targets(workspace, &arguments.target, arguments.all_variants)? {
        match port_ops::push(workspace, target).await {
            Ok(report) => reports.push(report),
            Err(error @ OpsError::NoLocalFile { .. }) if arguments.all_variants => {
                workspace.note(format!("skipped `{}`: it is not built here", target.variant()));
                absent = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match absent {
        Some(error) if reports.is_empty() => Err(error.into()),
        _ => transfer::report(ui, "pushed", &reports, arguments.all_variants),
    }
}
