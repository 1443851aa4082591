//! Base images in registries: `port base-images push` publishes one, `ensure --from` takes one. The store of the cache is an image
//! layout, so both are copies.

use std::path::PathBuf;

use clap::Args;
use port_base_images::{
    BaseImageManager, BundleId, Ensured, Network, Request, id_of_reference, name_in_store,
};
use port_model::{Architecture, ProtectionMode, Substrate, Variant};
use port_ops::OpsError;
use port_ops::copy::{CopyError, CopyOptions, CopyReport, Place, Surroundings, copy};

use super::{CacheFlags, MirrorFlags, manager};
use crate::args::{Global, RegistryFlags};
use crate::commands::access;
use crate::error::{CommandError, Exit};
use crate::ui::{Ui, size};
use crate::{env_vars, host, progress};

/// Arguments of push.
#[derive(Debug, Args)]
pub struct Push {
    /// The base image, as `list` says it.
    #[arg(value_name = "BUNDLE")]
    bundle: BundleId,
    /// Where to: `registry/repository:tag`.
    #[arg(value_name = "REFERENCE", value_parser = place)]
    reference: Place,
    #[command(flatten)]
    cache: CacheFlags,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// A place in a registry.
pub fn place(text: &str) -> Result<Place, String> {
    match text.parse::<Place>() {
        Ok(place @ Place::Registry { .. }) => Ok(place),
        Ok(Place::Layout { .. }) => Err("expected `registry/repository:tag`".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Publishes a base image: kernel and root as they are, under Port's own layout.
pub async fn push(arguments: Push, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let manager = manager(arguments.cache, MirrorFlags::default(), global, ui)?;
    let source = in_store(&manager, &arguments.bundle);
    if manager.store().resolve(&name_in_store(&arguments.bundle)).map_err(OpsError::from)?.is_none() {
        let message = format!("there is no base image `{}`", arguments.bundle);
        return Err(
            CommandError::new(Exit::NotFound, message).hint("`port base-images list` says which there are")
        );
    }
    let surroundings = surroundings(&manager, &arguments.registry, global, ui)?;
    let report = copy(&surroundings, &source, &arguments.reference, CopyOptions::default()).await;
    let report = report.map_err(OpsError::from)?;
    ui.report(&report, || text(&arguments.bundle, &report))
}

fn text(bundle: &BundleId, report: &CopyReport) -> String {
    let (destination, digest, moved) = (&report.destination, &report.digest, size(report.moved_bytes));
    format!("pushed {bundle} to {destination}\ndigest: {digest}\nmoved: {moved}\n")
}

/// Brings a base image from a registry into the store of the cache and makes it ready.
pub async fn ensure(
    manager: &BaseImageManager,
    from: &Place,
    registry: &RegistryFlags,
    request: &Request,
    global: &Global,
    ui: Ui,
) -> Result<Ensured, CommandError> {
    let architecture = match request.architecture {
        Some(architecture) => architecture,
        None => manager.architecture(),
    };
    let reference = from.to_string();
    let id = id_of_reference(&reference, architecture);
    if request.network == Network::Allowed {
        let surroundings = surroundings(manager, registry, global, ui)?;
        let of = |variant| CopyOptions { no_referrers: true, variant, all_variants: false };
        let place = in_store(manager, &id);
        let copied = match copy(&surroundings, from, &place, of(Some(variant(architecture)))).await {
            // It is no index of variants but one manifest, as `push` publishes it; which variant it is is looked at below.
            Err(CopyError::Document { .. }) => copy(&surroundings, from, &place, of(None)).await,
            copied => copied,
        };
        copied.map_err(OpsError::from)?;
    }
    Ok(manager.ensure_stored(&reference, architecture, request).await?)
}

fn variant(architecture: Architecture) -> Variant {
    Variant::new(architecture, Substrate::Firecracker, ProtectionMode::Standard)
}

fn in_store(manager: &BaseImageManager, id: &BundleId) -> Place {
    let directory: PathBuf = manager.store().root().to_owned();
    Place::Layout { directory, name: Some(name_in_store(id)), digest: None }
}

fn surroundings(
    manager: &BaseImageManager,
    registry: &RegistryFlags,
    global: &Global,
    ui: Ui,
) -> Result<Surroundings, CommandError> {
    let environment = env_vars::environment(host::architecture()?);
    Ok(Surroundings {
        credential_paths: environment.credential_paths,
        reporter: progress::reporter(ui, global.progress),
        access: access(registry, global, ui)?,
        store: Some(manager.store().root().to_owned()),
        cache: None,
    })
}
