//! `port packages remove`.

use port_ops::packages::{self as ops, RemoveReport};

use super::One;
use crate::args::Global;
use crate::error::CommandError;
use crate::ui::{self, Ui};

/// Removes, and says what is left.
pub fn run(arguments: &One, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let packages = arguments.store.packages(global, ui)?;
    let report = ops::remove(&packages, &arguments.selection())?;
    ui.report(&report, || text(&report))
}

fn text(report: &RemoveReport) -> String {
    let targets = ui::count(report.removed.len() as u64, "target");
    let blobs = ui::count(report.blobs, "blob");
    let left = if report.remaining == 0 { "none".to_owned() } else { report.remaining.to_string() };
    let freed = ui::size(report.bytes);
    format!("removed {targets} of {}, {left} left; {blobs} ({freed}) went with them\n", report.reference)
}
