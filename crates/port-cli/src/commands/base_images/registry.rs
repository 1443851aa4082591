//! Base images in registries: `port base-images push` publishes one, `ensure --from` takes one. The store of the cache is an image
//! layout, so both are copies.

use std::path::PathBuf;

use clap::Args;
use port_base_images::{
    BaseImageManager, BundleId, CacheUse, Ensured, Network, Outcome, Request, id_of_reference, name_in_store,
};
use port_content::atomic::AtomicDir;
use port_model::{Architecture, ProtectionMode, Substrate, Variant};
use port_ops::OpsError;
use port_ops::copy::{CopyOptions, CopyReport, Place, Surroundings, copy};
use port_ops::trust::{Policies, asks_for_signatures, require_place};

use super::{CacheFlags, MirrorFlags, manager};
use crate::args::{Global, RegistryFlags};
use crate::commands::{access, policies};
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

/// Brings a base image from a registry into the store of the cache, with the policies' leave, and makes it ready. Where the registry
/// does not answer, the one that came before is asked about and handed out.
pub async fn ensure(
    manager: &BaseImageManager,
    from: &Place,
    registry: &RegistryFlags,
    request: &Request,
    global: &Global,
    ui: Ui,
) -> Result<Ensured, CommandError> {
    let architecture = request.architecture.unwrap_or_else(|| manager.architecture());
    let reference = from.to_string();
    let taking = Taking {
        surroundings: surroundings(manager, registry, global, ui)?,
        policies: policies(global)?,
        from,
        stored: in_store(manager, &id_of_reference(&reference, architecture)),
        variant: variant(architecture),
    };
    let fetched = match request.network {
        Network::Allowed => taking.fetch(manager, request.cache).await,
        Network::Offline => taking.ask_of_stored(manager).await,
    };
    let Err(error) = fetched else {
        return Ok(manager.ensure_stored(&reference, architecture, request).await?);
    };
    let is_away = error.exit == Exit::Unreachable && request.cache == CacheUse::Allowed;
    if !is_away || request.network == Network::Offline || !taking.is_stored(manager)? {
        return Err(error);
    }
    taking.ask_of_stored(manager).await?;
    let ensured = manager.ensure_stored(&reference, architecture, request).await?;
    ui.note(&format!(
        "warning: {}: nobody answers; the cached base image `{}` of {} is used, and there may be a newer one",
        error.reason(),
        ensured.bundle.bundle_id,
        ensured.bundle.created_at
    ));
    Ok(Ensured { outcome: Outcome::Fallback, ..ensured })
}

/// What is taken, from where, and who is asked before.
struct Taking<'a> {
    surroundings: Surroundings,
    policies: Policies,
    from: &'a Place,
    /// Where it comes to be in the store of the cache.
    stored: Place,
    variant: Variant,
}

impl Taking<'_> {
    async fn fetch(&self, manager: &BaseImageManager, cache: CacheUse) -> Result<(), CommandError> {
        let taken =
            require_place(&self.surroundings, &self.policies, self.from, self.from, self.variant).await?;
        // Signatures come along where somebody will ask for them again, without the registry.
        let no_referrers = !asks_for_signatures(&self.policies, self.from);
        let options = CopyOptions { no_referrers, ..CopyOptions::default() };
        if cache == CacheUse::ForceDownload {
            self.fetch_anew(manager, &taken, options).await?;
        } else {
            copy(&self.surroundings, &taken, &self.stored, options).await.map_err(OpsError::from)?;
        }
        Ok(())
    }

    /// Fetches every byte, into a layout beside the store: what the store has is read again, and replaced where it is damaged.
    async fn fetch_anew(
        &self,
        manager: &BaseImageManager,
        taken: &Place,
        options: CopyOptions,
    ) -> Result<(), CommandError> {
        let scratch = AtomicDir::create(&manager.cache_directory().join("anew")).map_err(OpsError::from)?;
        let anew = Place::Layout {
            directory: scratch.path().join("layout"),
            name: self.stored.name().map(str::to_owned),
            digest: None,
        };
        let alone = Surroundings { store: None, ..self.surroundings.clone() };
        let fetched = copy(&alone, taken, &anew, options).await.map_err(OpsError::from)?;
        for blob in &fetched.blobs {
            manager.store().check_blob(&blob.digest).map_err(OpsError::from)?;
        }
        copy(&alone, &anew, &self.stored, options).await.map_err(OpsError::from)?;
        Ok(())
    }

    fn is_stored(&self, manager: &BaseImageManager) -> Result<bool, CommandError> {
        let name = self.stored.name().unwrap_or_default();
        Ok(manager.store().resolve(name).map_err(OpsError::from)?.is_some())
    }

    /// Asks about what came before, by the signatures that came with it. Nothing is asked about what is not there.
    async fn ask_of_stored(&self, manager: &BaseImageManager) -> Result<(), CommandError> {
        if self.is_stored(manager)? {
            require_place(&self.surroundings, &self.policies, self.from, &self.stored, self.variant).await?;
        }
        Ok(())
    }
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
