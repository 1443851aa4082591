//! `port packages retag`.

use clap::Args;
use port_layout::Strategy;
use port_model::Reference;
use port_ops::packages::{self as ops, RetagReport};

use super::{One, name, strategy};
use crate::args::Global;
use crate::error::CommandError;
use crate::ui::Ui;

/// Arguments of retag.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: One,
    /// The other name.
    #[arg(value_name = "DST", value_parser = name)]
    destination: Reference,
    /// What becomes of a package of the other name.
    #[arg(long, default_value = "merge", value_parser = strategy())]
    strategy: Strategy,
}

/// Gives the name, and says what has it.
pub fn run(arguments: &Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let packages = arguments.source.store.packages(global, ui)?;
    let selection = arguments.source.selection();
    let report = ops::retag(&packages, &selection, &arguments.destination, arguments.strategy)?;
    ui.report(&report, || text(&report))
}

fn text(report: &RetagReport) -> String {
    let mut text =
        format!("tagged {} as {}\n  index     {}\n", report.source, report.reference, report.index);
    for manifest in &report.manifests {
        text += &format!("  manifest  {manifest}\n");
    }
    for replaced in &report.replaced {
        text += &format!("  replaced  {replaced}\n");
    }
    text
}
