//! `port artifacts`: the verbs of Port's artifact contract.

mod attest;
mod build;
mod copy;
mod inspect;
mod list;
mod pull;
mod push;
mod referrers;
mod sign;
mod subject;
mod transfer;
mod validate;
mod verify;

use clap::Subcommand;
use port_ops::{Target, Workspace};

use crate::args::{Global, TargetArguments};
use crate::commands::workspace;
use crate::error::CommandError;
use crate::ui::Ui;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build one variant from its sources or recipe, and record them in `port.lock`.
    Build(build::Arguments),
    /// Check one variant: pins, formats, contents; with `--boot`, boot it.
    Validate(validate::Arguments),
    /// Publish one variant, or all that exist locally.
    Push(push::Arguments),
    /// Fetch one variant, or all that are published.
    Pull(pull::Arguments),
    /// Say where every variant is: local, cached, missing.
    List(list::Arguments),
    /// Say what one variant is: components, digests, kernel, provenance.
    Inspect(inspect::Arguments),
    /// Copy a manifest or a whole index between registries and OCI image layouts.
    Copy(copy::Arguments),
    /// List what refers to a manifest: signatures, attestations.
    Referrers(referrers::Arguments),
    /// Sign a manifest, so that `verify`, `pull` and `run` can tell who published it.
    Sign(sign::Arguments),
    /// Say whether a manifest is signed as keys or policies ask, and why.
    Verify(verify::Arguments),
    /// Sign a statement about a manifest: how it was built, what it is made of.
    Attest(attest::Arguments),
}

/// Runs a verb.
pub async fn run(command: Command, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    match command {
        // Both may ask for a passphrase, and be told that there is none.
        Command::Sign(arguments) => sign::run(&arguments, global, ui).await,
        Command::Attest(arguments) => attest::run(&arguments, global, ui).await,
        command => of_artifacts(command, global, ui).await.map(|()| 0),
    }
}

async fn of_artifacts(command: Command, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let workspace = || workspace(global, ui);
    match command {
        Command::Build(arguments) => build::run(&arguments, &workspace()?, ui).await,
        Command::Validate(arguments) => validate::run(&arguments, &workspace()?, ui).await,
        Command::Push(arguments) => push::run(&arguments, &workspace()?, ui).await,
        Command::Pull(arguments) => pull::run(&arguments, &workspace()?, ui).await,
        Command::List(arguments) => list::run(&arguments, &workspace()?, ui).await,
        Command::Inspect(arguments) => inspect::run(&arguments, &workspace()?, ui).await,
        // These work without a project.
        Command::Copy(arguments) => copy::run(&arguments, global, ui).await,
        Command::Referrers(arguments) => referrers::run(&arguments, global, ui).await,
        Command::Verify(arguments) => verify::run(&arguments, global, ui).await,
        Command::Sign(_) | Command::Attest(_) => Ok(()),
    }
}

/// The one variant that the arguments ask for, or every variant of the artifact.
fn targets<'a>(
    workspace: &'a Workspace,
    arguments: &TargetArguments,
    all_variants: bool,
) -> Result<Vec<Target<'a>>, CommandError> {
    if !all_variants {
        let target = Target::resolve(workspace, &arguments.artifact, arguments.selectors.into());
        return Ok(vec![target?]);
    }
    let artifact = workspace.project.artifact(&arguments.artifact).map_err(port_ops::OpsError::from)?;
    Ok(artifact.variants.iter().map(|config| Target { artifact, config }).collect())
}

/// `as <reference> for <variant>`, the middle of every first line (acceptance Pu-16).
fn subject(
    class: impl std::fmt::Display,
    name: &str,
    reference: impl std::fmt::Display,
    variant: impl std::fmt::Display,
) -> String {
    format!("{class} `{name}` as {reference} for {variant}")
}
