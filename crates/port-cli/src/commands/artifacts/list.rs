//! `port artifacts list`.

use clap::Args;
use port_ops::{ListRow, Workspace};

use crate::error::CommandError;
use crate::ui::{self, Ui};

/// Arguments of list.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only this artifact.
    #[arg(long, value_name = "NAME")]
    artifact: Option<String>,
}

pub(super) fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
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
