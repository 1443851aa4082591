//! `port artifacts copy`: between registries and image layouts, without a project.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use port_model::{ArchitectureSelector, ProtectionMode, Substrate, Variant};
use port_ops::copy::{CopyOptions, CopyReport, Outcome, Place, Surroundings};

use crate::args::{Global, RegistryFlags, architecture, protection_mode, substrate};
use crate::commands::access;
use crate::error::CommandError;
use crate::ui::{self, Ui};
use crate::{env_vars, host, progress};

/// Port's directory below the current one: used where it is there, never made here.
const STATE: &str = ".port/registries";
const STORE: &str = ".port/store";

/// Arguments of copy.
#[derive(Debug, Args)]
pub struct Arguments {
    /// From where: `registry/repository:tag[@digest]`, or `oci:DIRECTORY:NAME` for an OCI image layout.
    #[arg(value_name = "SRC")]
    source: Place,
    /// To where, in the same words.
    #[arg(value_name = "DST")]
    destination: Place,
    /// Leave signatures, and what else refers or is attached to the copied manifests, behind.
    #[arg(long)]
    no_referrers: bool,
    /// Give every variant of the index its own tag too, as push does.
    #[arg(long, conflicts_with_all = ["architecture", "substrate", "protection_mode"])]
    all_variants: bool,
    #[command(flatten)]
    selectors: Selectors,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// The selectors, which here have no defaults: without any, all of the index is copied.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Selectors (one variant of an index alone)")]
struct Selectors {
    /// The CPU architecture; `native` is this host's.
    #[arg(long, value_parser = architecture())]
    architecture: Option<ArchitectureSelector>,
    /// What the variant boots on.
    #[arg(long, value_parser = substrate())]
    substrate: Option<Substrate>,
    /// How the guest is isolated.
    #[arg(long, value_parser = protection_mode())]
    protection_mode: Option<ProtectionMode>,
}

impl Selectors {
    /// The variant; flags that are not given mean what they mean everywhere, once one is.
    fn variant(self) -> Result<Option<Variant>, CommandError> {
        if self.architecture.is_none() && self.substrate.is_none() && self.protection_mode.is_none() {
            return Ok(None);
        }
        let architecture = self.architecture.unwrap_or(ArchitectureSelector::Native);
        Ok(Some(Variant::new(
            architecture.resolve(host::architecture()?),
            self.substrate.unwrap_or(Substrate::Firecracker),
            self.protection_mode.unwrap_or(ProtectionMode::Standard),
        )))
    }
}

pub(super) async fn run(arguments: &Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let options = CopyOptions {
        no_referrers: arguments.no_referrers,
        variant: arguments.selectors.variant()?,
        all_variants: arguments.all_variants,
    };
    let surroundings = surroundings(&arguments.registry, global, ui)?;
    let (source, destination) = (&arguments.source, &arguments.destination);
    let report = port_ops::copy::copy(&surroundings, source, destination, options).await;
    let report = report.map_err(port_ops::OpsError::from)?;
    for absent in &report.absent_referrers {
        ui.note(&format!("skipped the referrer {absent}: {source} lists it and does not have it"));
    }
    for withheld in &report.withheld_blobs {
        ui.note(&format!(
            "left out the blob {withheld}: its media type says that only its vendor hands it out"
        ));
    }
    ui.report(&report, || text(&report))
}

/// What works without a project: credentials of docker and podman, and what `.port` remembers, if it is there.
pub(super) fn surroundings(
    flags: &RegistryFlags,
    global: &Global,
    ui: Ui,
) -> Result<Surroundings, CommandError> {
    let environment = env_vars::environment(host::architecture()?);
    let there = |path: &str, inside: &str| {
        Some(PathBuf::from(path)).filter(|path| port_content::fs::exists(&path.join(Path::new(inside))))
    };
    let mut access = access(flags, global, ui)?;
    access.state_directory = there(STATE, "");
    Ok(Surroundings {
        credential_paths: environment.credential_paths,
        reporter: progress::reporter(ui, global.progress),
        access,
        store: there(STORE, "meta.json"),
        cache: env_vars::cache_directory(),
    })
}

fn text(report: &CopyReport) -> String {
    let mut text = format!("copied {} to {}\n", report.source, report.destination);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "digest: {}", report.digest);
    let _ = writeln!(text, "media type: {}", report.media_type);
    let referrers = report.manifests.iter().filter(|manifest| manifest.refers_to.is_some());
    let manifests = report.manifests.iter().filter(|manifest| manifest.refers_to.is_none());
    let _ = writeln!(text, "manifests: {}", outcomes(manifests.map(|manifest| manifest.outcome)));
    let _ = writeln!(text, "referrers: {}", outcomes(referrers.map(|manifest| manifest.outcome)));
    let _ = writeln!(text, "blobs: {}", outcomes(report.blobs.iter().map(|blob| blob.outcome)));
    let _ = writeln!(text, "moved: {}", ui::size(report.moved_bytes));
    for attachment in &report.attachments {
        let replaced = attachment.replaced.as_ref().map(|digest| format!(" (replaced {digest})"));
        let _ = writeln!(text, "attachment: {}{}", attachment.tag, replaced.unwrap_or_default());
    }
    for tag in &report.variant_tags {
        let _ = writeln!(text, "variant tag: {tag}");
    }
    if let Some(replaced) = &report.replaced {
        let _ = writeln!(text, "replaced: {replaced}");
    }
    text
}

/// `2 copied, 1 found there`, or `none`.
fn outcomes(all: impl Iterator<Item = Outcome>) -> String {
    let all: Vec<Outcome> = all.collect();
    let words = [(Outcome::Copied, "copied"), (Outcome::Mounted, "mounted"), (Outcome::Found, "found there")];
    let words = words.iter().filter_map(|(outcome, word)| {
        let count = all.iter().filter(|other| *other == outcome).count();
        (count > 0).then(|| format!("{count} {word}"))
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
