//! push and pull: of one variant or of all there are, and what they say when they are done.

use std::fmt::Write as _;

use port_model::Encoding;
use port_ops::{OpsError, Target, TransferReport, Workspace};

use super::{subject, targets};
use crate::args::TargetArguments;
use crate::error::CommandError;
use crate::ui::Ui;

/// What is to be moved.
pub(super) struct Wanted<'a> {
    pub(super) target: &'a TargetArguments,
    pub(super) all_variants: bool,
}

/// Moves one variant, or every variant of the artifact: then one that is `absent`, for the reason that it gives, is
/// skipped and said, unless none is left.
pub(super) async fn run<'a>(
    workspace: &'a Workspace,
    ui: Ui,
    verb: &str,
    wanted: Wanted<'_>,
    work: impl AsyncFn(Target<'a>) -> Result<TransferReport, OpsError>,
    absent: impl Fn(&OpsError) -> Option<&'static str>,
) -> Result<(), CommandError> {
    let (mut reports, mut skipped) = (Vec::new(), None);
    for target in targets(workspace, wanted.target, wanted.all_variants)? {
        match work(target).await {
            Ok(report) => reports.push(report),
            Err(error) => match absent(&error).filter(|_| wanted.all_variants) {
                Some(reason) => {
                    workspace.note(format!("skipped `{}`: {reason}", target.variant()));
                    skipped = Some(error);
                }
                None => return Err(error.into()),
            },
        }
    }
    match skipped {
        Some(error) if reports.is_empty() => Err(error.into()),
        _ => report(ui, verb, &reports, wanted.all_variants),
    }
}

/// Reports transfers: one object, or a list where many variants were asked for.
fn report(ui: Ui, verb: &str, reports: &[TransferReport], many: bool) -> Result<(), CommandError> {
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
        if file.encoding == Encoding::Packed {
            let found = file.found_bytes.unwrap_or_default();
            let place = if verb == "pulled" { "found here" } else { "published before" };
            let _ = writeln!(
                text,
                "packed: {} bytes; {found} bytes of the file were {place}",
                file.published_bytes
            );
        }
    }
    let _ = writeln!(text, "backend: {}", report.backend);
    let _ = writeln!(text, "manifest: {}", report.manifest);
    text
}
