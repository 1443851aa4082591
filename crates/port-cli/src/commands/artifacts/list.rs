//! `port artifacts list`.

use clap::Args;
use port_ops::{ListRow, RemoteRow, Workspace};

use crate::error::CommandError;
use crate::ui::{self, Ui};

/// Arguments of list.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only this artifact.
    #[arg(long, value_name = "NAME")]
    artifact: Option<String>,
    /// What is published, as the pull backends say, in place of what is here.
    #[arg(long)]
    remote: bool,
}

pub(super) async fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    if arguments.remote {
        return remote(arguments, workspace, ui).await;
    }
    let report = port_ops::list(workspace, arguments.artifact.as_deref())?;
    ui.report(&report, || {
        let heading = ["ARTIFACT", "CLASS", "REFERENCE", "VARIANT", "STATE", "SIZE"].map(str::to_owned);
        let rows: Vec<_> =
            std::iter::once(heading.to_vec()).chain(report.artifacts.iter().map(row)).collect();
        ui::table(&rows)
    })
}

fn row(row: &ListRow) -> Vec<String> {
    vec![
        row.artifact.clone(),
        row.class.to_string(),
        row.reference.to_string(),
        row.variant.to_string(),
        row.state.as_str().to_owned(),
        row.bytes.map_or_else(|| "-".to_owned(), ui::size),
    ]
}

async fn remote(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    let report = port_ops::list_remote(workspace, arguments.artifact.as_deref()).await?;
    if report.published.is_empty() {
        ui.note("nothing is published");
    }
    ui.report(&report, || {
        let heading =
            ["ARTIFACT", "CLASS", "REFERENCE", "VARIANT", "LISTED", "SIZE", "MANIFEST"].map(str::to_owned);
        let rows = report.published.iter().map(remote_row);
        ui::table(&std::iter::once(heading.to_vec()).chain(rows).collect::<Vec<_>>())
    })
}

fn remote_row(row: &RemoteRow) -> Vec<String> {
    vec![
        row.artifact.clone(),
        row.class.to_string(),
        row.reference.to_string(),
        row.variant.to_string(),
        row.listed.to_owned(),
        ui::size(row.bytes),
        row.manifest.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
    ]
}
