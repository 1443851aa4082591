//! `port base-images ensure`: the bundle, made ready; its text is for people, its JSON is the bundle's manifest.

use std::path::PathBuf;

use clap::Args;
use port_base_images::{BaseImage, CacheUse, Network, Outcome, Preset, Request, Scrutiny};
use port_model::{ArchitectureSelector, Selector};
use port_ops::copy::Place;

use super::{CacheFlags, MirrorFlags, manager, preset};
use crate::args::{Global, RegistryFlags, architecture};
use crate::error::CommandError;
use crate::host;
use crate::ui::Ui;

/// Arguments of ensure.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which base image: of the newest Firecracker release, of the long-term line, or of a hosted manifest.
    #[arg(long, value_parser = preset(), default_value = "latest")]
    preset: Preset,
    /// The CPU architecture [default: x86-64].
    #[arg(long, value_parser = architecture())]
    architecture: Option<ArchitectureSelector>,
    /// The URL of a hosted manifest, which is used whatever the preset.
    #[arg(long, value_name = "URL", conflicts_with = "manifest_path")]
    manifest_url: Option<String>,
    /// The path of a hosted manifest, which is used whatever the preset.
    #[arg(long, value_name = "FILE")]
    manifest_path: Option<PathBuf>,
    /// A base image in a registry, as `port base-images push` publishes it.
    #[arg(long, value_name = "REFERENCE", value_parser = super::registry::place, conflicts_with_all = ["preset", "manifest_url", "manifest_path"])]
    from: Option<Place>,
    /// Fetch everything anew, whatever is cached.
    #[arg(long)]
    force_download: bool,
    /// Ask for nothing over the network: what is cached has to serve.
    #[arg(long, conflicts_with = "force_download")]
    offline: bool,
    /// Hash every byte of what is cached, in place of believing files that are known and unchanged.
    #[arg(long)]
    paranoid: bool,
    #[command(flatten)]
    cache: CacheFlags,
    #[command(flatten)]
    mirrors: MirrorFlags,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// Makes it ready and reports it.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let host = host::architecture()?;
    let concrete = |architecture| Selector { architecture, ..Selector::default() }.resolve(host).architecture;
    let request = Request {
        preset: arguments.preset,
        architecture: arguments.architecture.map(concrete),
        manifest_url: arguments.manifest_url,
        manifest_path: arguments.manifest_path,
        cache: if arguments.force_download { CacheUse::ForceDownload } else { CacheUse::Allowed },
        network: if arguments.offline { Network::Offline } else { Network::Allowed },
        scrutiny: if arguments.paranoid { Scrutiny::Paranoid } else { Scrutiny::Known },
    };
    let manager = manager(arguments.cache, arguments.mirrors, global, ui)?;
    let ensured = match &arguments.from {
        Some(from) => {
            super::registry::ensure(&manager, from, &arguments.registry, &request, global, ui).await?
        }
        None => manager.ensure(&request).await?,
    };
    ui.report(&ensured.bundle, || text(&ensured.bundle, ensured.outcome))
}

fn text(bundle: &BaseImage, outcome: Outcome) -> String {
    let outcome = match outcome {
        Outcome::Cached => "cached",
        Outcome::Prepared => "prepared",
        Outcome::Fallback => "cached, the newest one is not known",
    };
    let access = if bundle.rootfs_is_read_only { "read-only" } else { "writable" };
    let rows = [
        ("base image", format!("{} ({outcome})", bundle.bundle_id)),
        ("firecracker", bundle.firecracker_version.clone()),
        ("kernel", bundle.kernel_image_path.display().to_string()),
        ("rootfs", format!("{} ({}, {access})", bundle.rootfs_path.display(), bundle.rootfs_type)),
        ("boot arguments", bundle.boot_args.clone()),
    ];
    crate::ui::table(&rows.map(|(name, value)| vec![format!("{name}:"), value]))
}
