//! `port update index`.

use clap::Args;
use port_model::Architecture;
use port_ops::update::{self as ops, IndexReport, IndexRequest};

use super::{Place, architecture};
use crate::args::Global;
use crate::error::CommandError;
use crate::ui::Ui;

/// Arguments of index.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The release whose manifests are published.
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// The channel, which machines follow.
    #[arg(long, value_name = "NAME")]
    channel: String,
    /// An architecture that must be in the index (repeatable); without it, all that are published.
    #[arg(long, value_parser = architecture(), value_delimiter = ',')]
    architecture: Vec<Architecture>,
    /// Replace the index that is there, in place of adding to it, and move the channel even to an older release.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    place: Place,
}

/// Composes, and says by which digests.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let publisher = arguments.place.publisher(global, ui)?;
    let request = IndexRequest {
        place: arguments.place.repository,
        version: arguments.version,
        channel: arguments.channel,
        architectures: arguments.architecture,
        overwrite: arguments.overwrite,
    };
    let report = ops::index(&publisher, request).await?;
    ui.report(&report, || text(&report))
}

fn text(report: &IndexReport) -> String {
    let mut text = format!("published {}:{} and :{}\n", report.repository, report.version, report.channel);
    text += &format!("  index  {}\n", report.index);
    for part in &report.manifests {
        text += &format!("  {}  {}\n", part.architecture, part.manifest);
    }
    match &report.channel_before {
        Some(before) if *before != report.index => text += &format!("  {} was {before}\n", report.channel),
        _ => {}
    }
    text
}
