//! `port update publish`.

use std::path::PathBuf;

use clap::Args;
use port_layout::kubesolo::Metadata;
use port_model::Architecture;
use port_ops::update::{self as ops, PublishReport, PublishRequest, PublishedBlob};

use super::{Place, architecture};
use crate::args::Global;
use crate::error::CommandError;
use crate::ui::{self, Ui};

/// Where an upload that was killed is remembered, so that a rerun continues it.
const STATE_DIRECTORY: &str = ".port/registries";

/// Arguments of publish.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The kernel: `vmlinuz` or `Image`.
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// The initramfs: `kubesolo-os.gz`.
    #[arg(long, value_name = "FILE")]
    initramfs: PathBuf,
    /// The root file system, raw: machines with an earlier one fetch what changed.
    #[arg(long, value_name = "FILE")]
    root_filesystem: Option<PathBuf>,
    /// What the kernel is started with; `{slot}` in it becomes the slot's letter.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    boot_arguments: String,
    /// The release, as `v0.3.0` or `v0.3.0-rc.1`.
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// The channel that it is for, as `stable`.
    #[arg(long, value_name = "NAME")]
    channel: String,
    /// The machines that it is for.
    #[arg(long, value_parser = architecture())]
    architecture: Architecture,
    /// The oldest version that may update to this one.
    #[arg(long, value_name = "VERSION", default_value = "", hide_default_value = true)]
    min_compatible_version: String,
    /// A few words for people.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    release_notes: String,
    /// When it was released, in RFC 3339.
    #[arg(long, value_name = "DATE", default_value = "", hide_default_value = true)]
    release_date: String,
    /// Replace another content that is published under the same version and architecture.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    place: Place,
}

/// Publishes, and says by which digests.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let mut publisher = arguments.place.publisher(global, ui)?;
    publisher.access.state_directory = Some(PathBuf::from(STATE_DIRECTORY));
    let metadata = Metadata {
        version: arguments.version,
        channel: arguments.channel,
        min_compatible_version: arguments.min_compatible_version,
        architecture: arguments.architecture.oci_name().to_owned(),
        release_notes: arguments.release_notes,
        release_date: arguments.release_date,
    };
    let request = PublishRequest {
        place: arguments.place.repository,
        architecture: arguments.architecture,
        kernel: arguments.kernel,
        initramfs: arguments.initramfs,
        root_filesystem: arguments.root_filesystem,
        boot_arguments: arguments.boot_arguments,
        metadata,
        overwrite: arguments.overwrite,
    };
    let report = ops::publish(&publisher, request).await?;
    ui.report(&report, || text(&report))
}

fn text(report: &PublishReport) -> String {
    let blob = |name: &str, blob: &PublishedBlob| {
        let how = if blob.sent { "sent" } else { "already there" };
        format!("  {name:9}  {}  {} ({how})\n", blob.digest, ui::size(blob.bytes))
    };
    let mut text = format!("published {}:{}\n", report.repository, report.tag);
    text += &format!("  manifest   {}\n", report.manifest);
    text += &blob("kernel", &report.kernel);
    text += &blob("initramfs", &report.initramfs);
    if let Some(root) = &report.root_filesystem {
        text += &blob("root", root);
    }
    if let Some(replaced) = &report.replaced {
        text += &format!("  replaced   {replaced}\n");
    }
    text
}
