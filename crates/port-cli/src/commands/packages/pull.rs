//! `port packages push` and `pull`.

use std::path::PathBuf;

use clap::Args;
use port_layout::Strategy;
use port_model::Reference;
use port_ops::packages::{self as ops, PackagePushReport, PullReport};

use super::{One, StoreFlag, name, strategy, unpack};
use crate::args::{Global, RegistryFlags};
use crate::error::CommandError;
use crate::ui::{self, Ui};

/// Arguments of push.
#[derive(Debug, Args)]
pub struct Push {
    /// The package: `[REGISTRY/]REPOSITORY[:TAG]`.
    #[arg(value_name = "PACKAGE", value_parser = name)]
    package: Reference,
    /// What becomes of what is published: targets of others stay (`merge`), they go (`overwrite`), they are in the way (`exit`).
    #[arg(long, default_value = "merge", value_parser = strategy())]
    strategy: Strategy,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// Arguments of pull.
#[derive(Debug, Args)]
pub struct Pull {
    #[command(flatten)]
    one: One,
    /// Unpack it into this directory; then it must be one target.
    #[arg(short, long, short_alias = 'o', value_name = "DIR")]
    workdir: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// Publishes, and says what moved.
pub async fn push(arguments: Push, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let packages = arguments.store.with_registry(&arguments.registry, global, ui)?;
    let report = ops::push(&packages, &arguments.package, arguments.strategy).await?;
    ui.report(&report, || pushed(&report))
}

/// Fetches, and says what is here.
pub async fn run(arguments: Pull, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let packages = arguments.one.store.with_policies(&arguments.registry, global, ui)?;
    let report = ops::pull(&packages, &arguments.one.selection(), arguments.workdir.as_deref()).await?;
    ui.report(&report, || text(&report))
}

pub(super) fn pushed(report: &PackagePushReport) -> String {
    let mut text = format!("pushed {}\n  index     {}\n", report.reference, report.index);
    for manifest in &report.manifests {
        text += &format!("  manifest  {manifest}\n");
    }
    let (sent, mounted) = (ui::size(report.sent_bytes), ui::size(report.mounted_bytes));
    text += &format!("  sent {sent}, mounted {mounted}, found {}\n", ui::size(report.found_bytes));
    text
}

fn text(report: &PullReport) -> String {
    let mut text = format!("pulled {}\n  index     {}\n", report.reference, report.index);
    for target in &report.targets {
        let target = format!("{} ({}/{})", target.manifest, target.platform, target.architecture);
        text += &format!("  manifest  {}\n", ui::one_line(&target));
    }
    let (fetched, found) = (ui::size(report.fetched_bytes), ui::size(report.found_bytes));
    text += &format!("  fetched {fetched}, found {found}\n");
    if let Some(unpacked) = &report.unpacked {
        text += &unpack::text(unpacked);
    }
    text
}
