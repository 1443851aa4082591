//! What push and pull say when they are done.

use std::fmt::Write as _;

use port_ops::TransferReport;

use super::subject;
use crate::error::CommandError;
use crate::ui::Ui;

/// Reports transfers: one object, or a list where many variants were asked for.
pub(super) fn report(ui: Ui, verb: &str, reports: &[TransferReport], many: bool) -> Result<(), CommandError> {
    let text = || reports.iter().map(|report| text(verb, report)).collect::<Vec<_>>().join("\n");
    match reports {
        [report] if !many => ui.report(report, text),
        _ => ui.report(&reports, text),
    }
}

fn text(verb: &str, report: &TransferReport) -> String {
    let mut text =
        format!("{verb} {}\n", subject(report.class, &report.artifact, &report.reference, report.variant));
    for file in &report.files {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "local path: {}", file.local_path.display());
        let _ = writeln!(text, "store path: {}", file.store_path);
        let _ = writeln!(text, "cache path: {}", file.cache_path.display());
        let _ = writeln!(text, "bytes: {}", file.bytes);
        let _ = writeln!(text, "digest: {}", file.digest);
    }
    let _ = writeln!(text, "backend: {}", report.backend);
    let _ = writeln!(text, "manifest: {}", report.manifest);
    text
}
