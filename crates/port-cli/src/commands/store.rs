//! `port store`: what the local store holds.

use clap::Subcommand;
use port_ops::StoreRow;

use crate::args::Global;
use crate::commands::workspace;
use crate::error::{CommandError, Exit};
use crate::ui::{self, Ui};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what is in the store: names, and what refers to what they name.
    List,
    /// Read every blob again and say what is damaged or missing.
    Verify,
    /// Remove blobs that no name leads to.
    Gc,
}

/// Runs a verb.
pub fn run(command: &Command, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let workspace = workspace(global, ui)?;
    match command {
        Command::List => {
            let rows = port_ops::store_rows(&workspace)?;
            ui.report(&rows, || {
                let heading = ["NAME", "SIZE", "MANIFEST"].map(str::to_owned).to_vec();
                ui::table(&std::iter::once(heading).chain(rows.iter().map(row)).collect::<Vec<_>>())
            })?;
        }
        Command::Gc => {
            let collected = port_ops::collect_garbage(&workspace)?;
            ui.report(&collected, || {
                format!("removed {} ({})", ui::count(collected.blobs, "blob"), ui::size(collected.bytes))
            })?;
        }
        Command::Verify => return verify(&port_ops::verify_store(&workspace)?, ui),
    }
    Ok(())
}

fn row(row: &StoreRow) -> Vec<String> {
    let size = row.bytes.map_or_else(|| "unknown".to_owned(), ui::size);
    vec![name(row), size, row.manifest.to_string()]
}

/// The name; of what has none, why it is there.
fn name(row: &StoreRow) -> String {
    const SHORT: usize = 12;
    match (&row.name, &row.refers_to) {
        (Some(name), _) => name.clone(),
        (None, None) => "(no name)".to_owned(),
        (None, Some(subject)) => {
            let hex: String = subject.hex().chars().take(SHORT).collect();
            let kind = row.artifact_type.as_ref().map(|kind| format!(" ({kind})")).unwrap_or_default();
            format!("referrer of {}:{hex}…{kind}", subject.algorithm().as_str())
        }
    }
}

fn verify(verified: &port_store::Verified, ui: Ui) -> Result<(), CommandError> {
    ui.report(verified, || {
        let damaged = verified.damaged.iter().map(|damage| {
            format!("{}: found {}, needed by {}\n", damage.digest, damage.found, damage.names.join(", "))
        });
        let sum = format!("read {} ({})\n", ui::count(verified.blobs, "blob"), ui::size(verified.bytes));
        std::iter::once(sum).chain(damaged).collect()
    })?;
    if verified.damaged.is_empty() {
        return Ok(());
    }
    let message =
        format!("{} of the store damaged or missing", ui::count(verified.damaged.len() as u64, "blob"));
    Err(CommandError::new(Exit::Failed, message).hint("pull or build the artifacts again that need them"))
}
