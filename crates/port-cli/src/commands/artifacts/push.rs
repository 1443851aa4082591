//! `port artifacts push`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use port_model::Encoding;
use port_ops::{OpsError, ParentChoice, PushOptions, Strategy, Workspace};

use super::transfer::{self, Wanted};
use crate::args::TargetArguments;
use crate::error::{CommandError, Exit};
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
    /// The version that a packed root file system is packed against; `none` packs everything anew [default: found]
    #[arg(long, value_name = "VERSION")]
    parent: Option<String>,
    /// For how many earlier versions in the store a delta is published; only for what is packed [default: `distribution.push.deltas`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(port_ops::MOST_DELTAS)))]
    deltas: Option<u32>,
}

fn strategy() -> impl TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(Strategy::WORDS).try_map(|word| word.parse::<Strategy>())
}

pub(super) async fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    let strategy = if arguments.overwrite { Strategy::Overwrite } else { arguments.strategy };
    let absent =
        |error: &OpsError| matches!(error, OpsError::NoLocalFile { .. }).then_some("it is not built here");
    let parent = match arguments.parent.as_deref() {
        None => ParentChoice::Auto,
        Some("none") => ParentChoice::None,
        Some(version) => ParentChoice::Version(version.to_owned()),
    };
    let options = PushOptions { strategy, parent, deltas: arguments.deltas };
    check_packed(arguments, workspace)?;
    let push = async |target| port_ops::push(workspace, target, &options).await;
    let wanted = Wanted { target: &arguments.target, all_variants: arguments.all_variants };
    transfer::run(workspace, ui, "pushed", wanted, push, absent).await
}

/// Refuses what is said of packing where nothing is packed: whoever says it expects something of it.
fn check_packed(arguments: &Arguments, workspace: &Workspace) -> Result<(), CommandError> {
    let given = [("--parent", arguments.parent.is_some()), ("--deltas", arguments.deltas.is_some())];
    let option = given.into_iter().find(|(_, given)| *given);
    // What is unknown, or goes nowhere, is refused with better words.
    let artifact = workspace.project.artifacts.values().find(|one| one.name == arguments.target.artifact);
    let artifact = artifact.filter(|artifact| artifact.distribution.push.is_some());
    let Some(((option, _), artifact)) = option.zip(artifact) else { return Ok(()) };
    match artifact.encoding(artifact.class.main_kind()) {
        Encoding::Packed => Ok(()),
        other => {
            let name = &artifact.name;
            let message = format!("`{option}` is for what is packed, and `{name}` is published as `{other}`");
            let hint = "leave it out, or set `encoding = \"packed\"` beside an `oci-registry` in `distribution.push`";
            Err(CommandError::new(Exit::Usage, message).hint(hint))
        }
    }
}
