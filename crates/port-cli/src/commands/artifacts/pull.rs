//! `port artifacts pull`.

use clap::Args;
use port_backend::ErrorKind;
use port_ops::{OpsError, Workspace};

use super::transfer::{self, Wanted};
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
    let absent = |error: &OpsError| match error {
        OpsError::Backend(error) if error.kind == ErrorKind::NotFound => Some("it is not published"),
        _ => None,
    };
    let pull = async |target| port_ops::pull(workspace, target).await;
    let wanted = Wanted { target: &arguments.target, all_variants: arguments.all_variants };
    transfer::run(workspace, ui, "pulled", wanted, pull, absent).await
}
