//! The package that a new one is made from: one of the store or, where it is not there, of its registry. It is copied,
//! never changed (acceptance K-4, C-16).

use port_layout::Descriptor;
use port_layout::kraftkit::ImageConfig;
use port_model::Reference;

use crate::packages::load::{self, Target};
use crate::packages::push::{self, Origin};
use crate::packages::{PackageError, Packages, Selection, fetch, pull, trust};

pub(super) struct Original {
    target: Target,
    /// The registry that it came from, where it is not the store's.
    origin: Option<Origin>,
    /// Whether its layers are not brought here, since the registry takes them from itself.
    stays_there: bool,
}

/// Finds the one target that is meant. From a registry, only its documents are fetched.
pub(super) async fn load(packages: &Packages, selection: &Selection) -> Result<Original, PackageError> {
    let name = selection.name();
    if let Some(named) = packages.store.find(&name)? {
        let found = load::select_one(selection, &named.index, &named.digest)?;
        let target = load::load(&packages.store, &name, &found)?;
        return Ok(Original { target, origin: None, stays_there: false });
    }
    let repository = packages.repository(&name)?;
    let remote = fetch::index(&repository, selection).await?;
    let found = load::select_one(selection, &remote.index, &remote.digest)?;
    trust::require(packages, &name, [&found.descriptor.digest]).await?;
    let target = fetch::target(packages, &repository, &name, &found).await?;
    Ok(Original { target, origin: Some(Origin::new(repository)), stays_there: false })
}

impl Original {
    pub(super) fn config(&self) -> &ImageConfig {
        &self.target.decoded.package.config
    }

    pub(super) fn layers(&self) -> &[Descriptor] {
        &self.target.decoded.package.layers
    }

    /// Makes sure that the adopted layers are here or, where the new package is published to the same registry, there: it
    /// takes them from the original's repository, and nothing moves (acceptance K-74). They are there before the new package
    /// is here, which could otherwise be left without them.
    pub(super) async fn bring(
        &mut self,
        packages: &Packages,
        name: &Reference,
        push: bool,
    ) -> Result<(), PackageError> {
        let Some(origin) = &mut self.origin else { return Ok(()) };
        if push && *origin.repository.registry() == port_registry::names_of(name).0 {
            push::layers(packages, name, &self.target.decoded.package.layers, origin).await?;
            self.stays_there = true;
            return Ok(());
        }
        pull::layers(packages, &origin.repository, std::slice::from_ref(&self.target)).await?;
        Ok(())
    }

    /// Without its layers an original could only make a package that nobody can start.
    pub(super) fn check(&self, packages: &Packages) -> Result<(), PackageError> {
        if self.stays_there {
            return Ok(());
        }
        for layer in self.layers() {
            if !packages.store.has(&layer.blob())? {
                let reference = self.target.decoded.package.reference.to_string();
                let place = packages.store.describe();
                return Err(PackageError::Gone { reference, digest: layer.digest.clone(), place });
            }
        }
        Ok(())
    }

    pub(super) fn into_origin(self) -> Option<Origin> {
        self.origin
    }
}
