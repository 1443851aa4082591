//! `port artifacts attest`.

use std::path::PathBuf;

use clap::Args;
use port_ops::trust::{self, AttestReport, Predicate};

use super::sign::KeyArguments;
use super::subject::SubjectArguments;
use super::verify::predicate_type;
use crate::args::Global;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Arguments of attest.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    #[command(flatten)]
    key: KeyArguments,
    /// What is said: `slsa-provenance` (how it was built), `spdx` (what it is made of), or the URI of a predicate's type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// A JSON file with the predicate; without one, `port.lock` says how `--artifact` was built.
    #[arg(long, value_name = "FILE")]
    predicate: Option<PathBuf>,
}

pub(super) async fn run(arguments: &Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    let predicate = match (&arguments.predicate, arguments.kind.as_str()) {
        (Some(path), kind) => Predicate::File { kind: predicate_type(kind), path: path.clone() },
        (None, "slsa-provenance") => Predicate::Provenance,
        (None, "spdx") => Predicate::Sbom,
        (None, kind) => {
            let message = format!("a statement of type `{kind}` needs a predicate");
            let hint =
                "say `--predicate FILE`, or `--type slsa-provenance` or `--type spdx` with `--artifact NAME`";
            return Err(CommandError::new(Exit::Usage, message).hint(hint));
        }
    };
    let opened = arguments.subject.open(global, ui)?;
    // As a shell says that the user ended it.
    let Some(key) = arguments.key.open(ui).await? else { return Ok(130) };
    let report = trust::attest(opened.wanted()?, &predicate, &key).await?;
    ui.report(&report, || text(&report))?;
    Ok(0)
}

fn text(report: &AttestReport) -> String {
    let AttestReport { place, subject, predicate_type, fingerprint, referrer, .. } = report;
    format!(
        "attested {place} with key {fingerprint}\nmanifest: {subject}\ntype: {predicate_type}\nreferrer: {referrer}\n"
    )
}
