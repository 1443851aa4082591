//! `port artifacts verify`.

use std::path::PathBuf;

use clap::Args;
use port_ops::OpsError;
use port_ops::trust::{self, By, KeysAsked, Policies, VerifyReport};

use super::subject::{Opened, SubjectArguments};
use crate::args::{Format, Global};
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Arguments of verify.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// A public key that must have signed; several times for several keys.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// How many of the keys must have signed.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "key")]
    threshold: usize,
    /// Under which names it may have been signed, as `ghcr.io/acme/*`; its own where none is given.
    #[arg(long, value_name = "PATTERN", requires = "key")]
    identity: Vec<String>,
    /// Ask for a statement with this type of predicate, and print it: `slsa-provenance`, `spdx`, or a URI.
    #[arg(long = "type", value_name = "TYPE", requires = "key")]
    predicate_type: Option<String>,
    /// A policy; without one, and without keys, those that `pull` and `run` ask.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    policy: Option<PathBuf>,
    /// Say of every signature why it counts or does not.
    #[arg(long)]
    explain: bool,
}

pub(super) async fn run(arguments: &Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let opened = arguments.subject.open(global, ui)?;
    let by = by(arguments, &opened, global)?;
    let report = trust::verify_place(opened.wanted()?, &by).await?;
    let refusal = report.refusal();
    if refusal.is_none() || arguments.explain || ui.format == Format::Json {
        ui.report(&report, || text(&report, arguments.explain))?;
    }
    match refusal {
        Some(error) => Err(OpsError::from(error).into()),
        None => Ok(()),
    }
}

/// The keys, the policy that is named, or the policies that hold here.
fn by(arguments: &Arguments, opened: &Opened, global: &Global) -> Result<By, CommandError> {
    if !arguments.key.is_empty() {
        return Ok(By::Keys(KeysAsked {
            files: arguments.key.clone(),
            threshold: arguments.threshold,
            identities: arguments.identity.clone(),
            predicate_type: arguments.predicate_type.as_deref().map(predicate_type),
        }));
    }
    let policies = match (&arguments.policy, opened.workspace()) {
        (Some(path), _) => Policies::load(std::slice::from_ref(path)).map_err(OpsError::from),
        (None, Some(workspace)) => Policies::of(workspace).map_err(OpsError::from),
        (None, None) => crate::commands::policies(global),
    };
    let policies = policies?;
    if policies.is_empty() {
        let message = "there is nothing to verify with: no key was named, and there is no `trust.toml`";
        let hint = "say `--key FILE` or `--policy FILE`";
        return Err(CommandError::new(Exit::Usage, message).hint(hint));
    }
    Ok(By::Policies(policies))
}

/// The words for the two types that Port makes itself.
pub(super) fn predicate_type(word: &str) -> String {
    match word {
        "slsa-provenance" => port_trust::statement::SLSA_PROVENANCE.to_owned(),
        "spdx" => port_trust::statement::SPDX.to_owned(),
        other => other.to_owned(),
    }
}

fn text(report: &VerifyReport, explain: bool) -> String {
    let word = if report.trusted { "trusted" } else { "not trusted" };
    let mut lines = vec![format!("{word}: {}", report.place), format!("manifest: {}", report.subject)];
    for verdict in &report.verdicts {
        lines.push(verdict.sentence());
        if explain {
            lines.extend(verdict.explanation().into_iter().map(|line| format!("  {line}")));
        }
    }
    if let Some(statement) = &report.statement {
        lines.push(serde_json::to_string_pretty(statement).unwrap_or_default());
    }
    lines.join("\n") + "\n"
}
