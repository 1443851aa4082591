//! `port packages unpack`.

use std::path::PathBuf;

use clap::Args;
use port_ops::packages::{self as ops, UnpackReport};

use super::One;
use crate::args::Global;
use crate::error::CommandError;
use crate::ui::{self, Ui};

/// Arguments of unpack.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    one: One,
    /// Where the files go; made if absent.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Unpacks, and says where things are.
pub fn run(arguments: &Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let packages = arguments.one.store.packages(global, ui)?;
    let report = ops::unpack(&packages, &arguments.one.selection(), &arguments.directory)?;
    ui.report(&report, || text(&report))
}

pub(super) fn text(report: &UnpackReport) -> String {
    let files = format!("{} ({})", ui::count(report.files, "file"), ui::size(report.bytes));
    let target = ui::one_line(&format!("{}/{}", report.platform, report.architecture));
    let mut text = format!("unpacked {files} of {} for {target}\n", report.reference);
    text += &format!("  kernel    {}\n", report.kernel.display());
    if let Some(initrd) = &report.initrd {
        text += &format!("  initrd    {}\n", initrd.display());
    }
    if !report.command.is_empty() {
        text += &format!("  command   {}\n", ui::one_line(&report.command.join(" ")));
    }
    text
}
