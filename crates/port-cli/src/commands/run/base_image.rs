//! `port run --base-image`: makes a base image ready as `port base-images ensure` does, and boots it as a machine of `port.toml` is
//! booted.

use clap::Args;
use port_base_images::{BaseImage, Lease, Network, Preset, Request, RootfsType};
use port_config::ImageFormat;
use port_ops::Workspace;
use port_ops::run::Purpose;
use port_ops::run::base_image::{self as ops, BaseImageFiles, BaseImagePlan, DEFAULT_MEMORY_MIB};

use crate::args::Global;
use crate::commands::base_images::{CacheFlags, MirrorFlags, manager, of_run};
use crate::commands::workspace_if_configured;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// What only base images take.
#[derive(Debug, Args)]
#[group(id = "BaseImageFlags")]
pub(super) struct Flags {
    /// Ask for no base image over the network: what is cached has to serve.
    #[arg(long, help_heading = "Base images")]
    offline: bool,
    #[command(flatten)]
    cache: CacheFlags,
    #[command(flatten)]
    mirrors: MirrorFlags,
}

impl Flags {
    /// As for packages: a machine of `port.toml` and a package take none of this.
    pub(super) fn refuse(&self) -> Result<(), CommandError> {
        if !self.offline && self.cache.is_usual() && self.mirrors.is_usual() {
            return Ok(());
        }
        let message = "the cache, mirrors and `--offline` can be given for a base image alone: expected `--base-image` with these flags";
        Err(CommandError::new(Exit::Usage, message))
    }
}

/// A base image that is ready to boot, and stays in the cache while this lives.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) planned: BaseImagePlan,
    _lease: Lease,
}

/// Makes the base image of a preset ready.
pub(super) async fn ready(
    preset: Preset,
    flags: Flags,
    memory_mib: Option<u32>,
    purpose: Purpose,
    global: &Global,
    ui: Ui,
) -> Result<(Workspace, Ready), CommandError> {
    let request = Request {
        preset,
        architecture: of_run(global, ui)?,
        network: if flags.offline { Network::Offline } else { Network::Allowed },
        ..Request::default()
    };
    let ensured = manager(flags.cache, flags.mirrors, global, ui)?.ensure(&request).await?;
    let workspace = workspace_if_configured(global, ui)?;
    let files = files(&ensured.bundle);
    let planned = ops::plan(&workspace, &files, memory_mib.unwrap_or(DEFAULT_MEMORY_MIB), purpose).await?;
    Ok((workspace, Ready { planned, _lease: ensured.lease }))
}

fn files(bundle: &BaseImage) -> BaseImageFiles {
    BaseImageFiles {
        name: bundle.bundle_id.to_string(),
        architecture: bundle.arch,
        kernel: bundle.kernel_image_path.clone(),
        rootfs: bundle.rootfs_path.clone(),
        format: match bundle.rootfs_type {
            RootfsType::Ext4 => ImageFormat::Ext4,
            RootfsType::Squashfs => ImageFormat::Squashfs,
        },
        read_only: bundle.rootfs_is_read_only,
        boot_arguments: bundle.boot_args.clone(),
    }
}
