//! `port update fetch`.

use std::path::PathBuf;

use clap::Args;
use port_model::Architecture;
use port_ops::update::{self as ops, CheckReport, FetchReport, FetchRequest};

use super::{Place, architecture};
use crate::args::Global;
use crate::error::CommandError;
use crate::host;
use crate::ui::{self, Ui};

/// Which release.
#[derive(Debug, Args)]
pub struct Offer {
    /// A channel or a version, as `stable` or `v0.3.0`.
    #[arg(long, value_name = "TAG")]
    tag: String,
    /// The machine that it is for [default: this one's]
    #[arg(long, value_parser = architecture())]
    architecture: Option<Architecture>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of fetch.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    offer: Offer,
    /// Where `vmlinuz` and `kubesolo-os.gz` are put; made if absent.
    #[arg(long, value_name = "DIR")]
    stage: PathBuf,
}

impl Offer {
    fn request(&self) -> Result<FetchRequest, CommandError> {
        let architecture = match self.architecture {
            Some(architecture) => architecture,
            None => host::architecture()?,
        };
        Ok(FetchRequest { place: self.place.repository.clone(), tag: self.tag.clone(), architecture })
    }
}

/// Fetches what a tag offers.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let registry = arguments.offer.place.publisher(global, ui)?;
    let request = arguments.offer.request()?;
    let report: FetchReport = ops::fetch(&registry, &request, &arguments.stage).await?;
    ui.report(&report, || {
        let mut text = text(&report.offered);
        text += &format!("fetched {}\n", report.kernel_path.display());
        text += &format!("fetched {}\n", report.initramfs_path.display());
        if let Some(path) = &report.root_filesystem_path {
            text += &format!("fetched {}\n", path.display());
        }
        text
    })
}

/// What is offered, for people.
pub fn text(report: &CheckReport) -> String {
    let metadata = &report.metadata;
    let mut text = format!("{}:{} offers {}\n", report.repository, report.tag, metadata.version);
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("  {name:12} {value}\n");
        }
    };
    fact("channel", &metadata.channel);
    fact("updates from", &metadata.min_compatible_version);
    fact("architecture", &metadata.architecture);
    fact("released", &metadata.release_date);
    fact("notes", &metadata.release_notes);
    fact("manifest", &report.manifest.to_string());
    let files = [
        ("kernel", Some(&report.kernel)),
        ("initramfs", Some(&report.initramfs)),
        ("root", report.root_filesystem.as_ref()),
    ];
    for (name, blob) in files.into_iter().filter_map(|(name, blob)| Some((name, blob?))) {
        fact(name, &format!("{}  {}", blob.digest, ui::size(blob.bytes)));
    }
    text
}
