//! `port artifacts inspect`.

use std::fmt::Write as _;

use clap::Args;
use port_ops::{InspectReport, Target, Workspace};

use super::subject;
use crate::args::TargetArguments;
use crate::error::CommandError;
use crate::ui::{self, Ui};

/// Arguments of inspect.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// What is published, as the pull backend describes it; no file is fetched.
    #[arg(long)]
    remote: bool,
}

pub(super) async fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    let selector = arguments.target.selectors.into();
    let target = Target::resolve(workspace, &arguments.target.artifact, selector)?;
    let report = if arguments.remote {
        port_ops::inspect_remote(workspace, target).await?
    } else {
        port_ops::inspect(workspace, target)?
    };
    ui.report(&report, || text(&report))
}

fn text(report: &InspectReport) -> String {
    let subject = subject(report.bundle.class, &report.artifact, &report.reference, report.bundle.variant);
    let mut text = format!("{subject}\nname: {}\nfrom: {}\n", report.name, report.origin);
    if let Some(manifest) = &report.manifest {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "manifest: {manifest}");
    }
    let heading = ["COMPONENT", "FORMAT", "FILE", "SIZE", "DIGEST"].map(str::to_owned).to_vec();
    let components = report.bundle.components.iter().map(|component| {
        vec![
            component.kind.to_string(),
            component.format.to_string(),
            component.file_name.to_string(),
            ui::size(component.size),
            component.digest.to_string(),
        ]
    });
    text += &ui::table(&std::iter::once(heading).chain(components).collect::<Vec<_>>());
    if let Some(kernel) = &report.bundle.kernel {
        let release = kernel.release.as_deref().unwrap_or("unknown");
        let _ = writeln!(text, "kernel release: {release}");
        if !kernel.modules.is_empty() {
            let _ = writeln!(text, "kernel modules: {}", kernel.modules.join(", "));
        }
    }
    if let Some(provenance) = &report.bundle.provenance {
        let _ = writeln!(text, "provenance: {provenance}");
    }
    text
}
