//! `port artifacts push`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use port_ops::{OpsError, Strategy, Workspace};

use super::transfer::{self, Wanted};
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
    /// Replace the variant where it is published with other content; the same as `--strategy overwrite`.
    #[arg(long, conflicts_with = "strategy")]
    overwrite: bool,
    /// What happens in a registry where this version is published already: add to it, replace this variant, or fail.
    #[arg(long, default_value = "merge", value_parser = strategy())]
    strategy: Strategy,
}

fn strategy() -> impl TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(Strategy::WORDS).try_map(|word| word.parse::<Strategy>())
}

pub(super) async fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    let strategy = if arguments.overwrite { Strategy::Overwrite } else { arguments.strategy };
    let absent =
        |error: &OpsError| matches!(error, OpsError::NoLocalFile { .. }).then_some("it is not built here");
    let push = async |target| port_ops::push(workspace, target, strategy).await;
    let wanted = Wanted { target: &arguments.target, all_variants: arguments.all_variants };
    transfer::run(workspace, ui, "pushed", wanted, push, absent).await
}
