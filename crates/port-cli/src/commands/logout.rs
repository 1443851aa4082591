//! `port logout`.

use std::path::PathBuf;

use clap::Args;
use port_ops::login::{self as ops, LoginPlace, LogoutReport};

use super::login::target;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::{env_vars, host};

/// Arguments of logout.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The registry, as `ghcr.io`, or one namespace of it, as `ghcr.io/team`.
    #[arg(value_name = "REGISTRY[/NAMESPACE]")]
    place: LoginPlace,
    /// Remove from this file in place of docker's `config.json`.
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

/// Removes the credentials; needs no configuration and no network.
pub async fn run(arguments: Arguments, ui: Ui) -> Result<(), CommandError> {
    let environment = env_vars::environment(host::architecture()?);
    let target = target(&environment, arguments.authfile)?;
    let report = ops::logout(arguments.place, &target, &environment.credential_paths).await?;
    ui.report(&report, || text(&report))?;
    if !report.remaining.is_empty() {
        ui.note(&format!("still in `{}`: {}", report.file.display(), report.remaining.join(", ")));
    }
    if let Some(origin) = &report.still_found {
        ui.note(&format!("credentials for {} are still found: {origin}", report.registry));
    }
    Ok(())
}

fn text(report: &LogoutReport) -> String {
    let file = report.file.display();
    match (report.removed.is_empty(), &report.helper) {
        (_, Some(helper)) => format!("signed out of {}: `{helper}` was told to forget it", report.registry),
        (false, None) => format!("signed out of {}: removed from `{file}`", report.registry),
        (true, None) => format!("nobody was signed in to {}: nothing in `{file}`", report.registry),
    }
}
