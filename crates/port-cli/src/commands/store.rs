//! `port store`: what the local store holds.

use clap::{Args, Subcommand};
use port_ops::{Packs, RepairReport, StoreRow, Unrepaired};
use port_store::{Collected, Verified};

use crate::args::Global;
use crate::commands::workspace_for_store;
use crate::error::{CommandError, Exit, exit_of};
use crate::ui::{self, Ui};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what is in the store: names, and what refers to what they name.
    List,
    /// Read every blob again and say what is damaged or missing.
    Verify(Verify),
    /// Remove blobs that no name leads to.
    Gc(Gc),
}

/// Arguments of verify.
#[derive(Debug, Args)]
pub struct Verify {
    /// Fetch what is damaged or missing from where its name came from, and replace files in the cache and at local paths that hold the
    /// damaged bytes.
    #[arg(long)]
    repair: bool,
}

/// Arguments of gc.
#[derive(Debug, Args)]
pub struct Gc {
    /// Remove packs and compressed forms as well, whose file is here and, read again, sound; a push or a copy that needs them fetches
    /// or makes them again.
    #[arg(long)]
    packs: bool,
}

/// Runs a verb.
pub async fn run(command: &Command, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let workspace = workspace_for_store(global, ui)?;
    match command {
        Command::List => {
            let rows = port_ops::store_rows(&workspace)?;
            ui.report(&rows, || {
                let heading =
                    ["NAME", "FILES", "PUBLISHED", "ON DISK", "MANIFEST"].map(str::to_owned).to_vec();
                ui::table(&std::iter::once(heading).chain(rows.iter().map(row)).collect::<Vec<_>>())
            })
        }
        Command::Gc(gc) => {
            let packs = if gc.packs { Packs::Drop } else { Packs::Keep };
            let collected = port_ops::collect_garbage(&workspace, packs)?;
            ui.report(&collected, || removed(&collected))
        }
        Command::Verify(Verify { repair: false }) => verify(&port_ops::verify_store(&workspace)?, ui),
        Command::Verify(Verify { repair: true }) => repair(&port_ops::repair_store(&workspace).await?, ui),
    }
}

fn row(row: &StoreRow) -> Vec<String> {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), ui::size);
    let (files, published) = (size(row.file_bytes), size(row.published_bytes));
    vec![name(row), files, published, ui::size(row.disk_bytes), row.manifest.to_string()]
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

fn removed(collected: &Collected) -> String {
    let on_disk = ui::size(collected.disk_bytes);
    let blobs = ui::count(collected.blobs, "blob");
    let blobs = format!("removed {blobs} ({}, {on_disk} on disk)", ui::size(collected.bytes));
    if collected.partial == 0 {
        return blobs;
    }
    let downloads = ui::count(collected.partial, "incomplete download");
    format!("{blobs} and {downloads} ({} on disk)", ui::size(collected.partial_bytes))
}

fn found(verified: &Verified) -> String {
    let damaged = verified.damaged.iter().map(|damage| {
        let names = match damage.names.as_slice() {
            [] => "needed by no name".to_owned(),
            names => format!("needed by {}", names.join(", ")),
        };
        format!("{}: found {}, {names}\n", damage.digest, damage.found)
    });
    let sum = format!("read {} ({})\n", ui::count(verified.blobs, "blob"), ui::size(verified.bytes));
    let sound = verified.damaged.is_empty().then(|| "all of it is sound\n".to_owned());
    std::iter::once(sum).chain(damaged).chain(sound).collect()
}

fn verify(verified: &Verified, ui: Ui) -> Result<(), CommandError> {
    ui.report(verified, || found(verified))?;
    if verified.damaged.is_empty() {
        return Ok(());
    }
    Err(damaged(Exit::Failed, verified.damaged.len()).hint("`port store verify --repair` fetches them again"))
}

fn damaged(exit: Exit, count: usize) -> CommandError {
    let blobs = ui::count(count as u64, "blob");
    CommandError::new(exit, format!("{blobs} of the store damaged or missing"))
}

fn repair(report: &RepairReport, ui: Ui) -> Result<(), CommandError> {
    ui.report(report, || found(&report.verified) + &became(report))?;
    if report.unrepaired.is_empty() {
        return Ok(());
    }
    let mut errors = report.unrepaired.iter().flat_map(|left| &left.errors).peekable();
    // Where nothing but the network is in the way, another try may help.
    let unreachable = errors.peek().is_some() && errors.all(|error| exit_of(error) == Exit::Unreachable);
    let (exit, hint) = if unreachable {
        (Exit::Unreachable, "try again when the registry can be reached")
    } else {
        (Exit::Failed, "pull or build the artifacts again that need them")
    };
    Err(damaged(exit, report.unrepaired.len()).hint(hint))
}

/// What became of what was found.
fn became(report: &RepairReport) -> String {
    let repaired = report
        .repaired
        .iter()
        .map(|blob| format!("{}: repaired from {} ({})\n", blob.digest, blob.from, ui::size(blob.bytes)));
    let replaced = report.replaced.iter().map(|path| format!("{}: replaced\n", path.display()));
    let removed = report.removed.iter().map(|digest| format!("{digest}: removed, nothing needs it\n"));
    let left = report.unrepaired.iter().map(|Unrepaired { digest, reasons, .. }| {
        let reasons = match reasons.as_slice() {
            [] => "nothing says where it came from".to_owned(),
            reasons => reasons.join("; "),
        };
        format!("{digest}: not repaired: {reasons}\n")
    });
    let mended = !report.verified.damaged.is_empty() && report.unrepaired.is_empty();
    let sound = mended.then(|| "all of it is sound now\n".to_owned());
    repaired.chain(replaced).chain(removed).chain(left).chain(sound).collect()
}
