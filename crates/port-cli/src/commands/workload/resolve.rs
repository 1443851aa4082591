//! `port workload resolve`.

use clap::Args;
use port_ops::workload as ops;

use super::{Source, text};
use crate::args::{Format, Global};
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Arguments of resolve.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
}

/// Prints the manifest: TOML, or JSON with `--format json`; warnings go to stderr.
pub(super) async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let (request, surroundings) = arguments.source.request(global, ui)?;
    let resolved = ops::resolve(&request, &surroundings).await?;
    for warning in &resolved.warnings {
        ui.note(text(warning).trim_end());
    }
    let manifest = match ui.format {
        Format::Text => resolved.manifest.to_toml(),
        Format::Json => resolved.manifest.to_json(),
    };
    let manifest = manifest.map_err(|error| CommandError::new(Exit::Failed, error.to_string()))?;
    ui.data(&manifest)
}
