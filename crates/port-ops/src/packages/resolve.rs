//! One target of a package, looked for here and then where it is published: what it is, before a layer of it is fetched.
//!
//! Invariant: the target that the policies took is the one whose layers are fetched and unpacked.

use std::path::Path;

use port_layout::kraftkit::{ImageConfig, Query};
use port_model::{Digest, Reference};
use port_registry::Repository;

use super::load::{self, Target};
use super::unpack::{Halt, unpack_target};
use super::{PackageError, Packages, Selection, UnpackReport, fetch, pull, trust};

/// See the module.
pub(crate) struct Resolved {
    reference: Reference,
    target: Target,
    /// Where it is published, with its index; none where all of it is here.
    published: Option<(Repository, Digest)>,
}

/// Finds the one target that is meant. `usual` says what counts where the selection says nothing.
///
/// # Errors
/// [`PackageError`]: where there is none or several, or the policies do not take it.
pub(crate) async fn resolve(
    packages: &Packages,
    selection: &Selection,
    usual: &Query,
) -> Result<Resolved, PackageError> {
    let reference = selection.name();
    if let Some(target) = here(packages, selection, usual)? {
        trust::require(packages, &reference, [&target.entry.digest]).await?;
        return Ok(Resolved { reference, target, published: None });
    }
    let repository = packages.repository(&reference)?;
    let remote = fetch::index(&repository, selection).await?;
    let found = load::select_one(&narrowed(selection, usual, &remote.digest), &remote.index, &remote.digest)?;
    trust::require(packages, &reference, [&found.descriptor.digest]).await?;
    let target = fetch::target(packages, &repository, &reference, &found).await?;
    Ok(Resolved { reference, target, published: Some((repository, remote.digest)) })
}

/// The target, where it is in the store with all of its layers.
fn here(packages: &Packages, selection: &Selection, usual: &Query) -> Result<Option<Target>, PackageError> {
    let store = &packages.store;
    let Some(named) = store.find(&selection.name())? else { return Ok(None) };
    let narrowed = narrowed(selection, usual, &named.digest);
    match load::select(&narrowed, &named.index, &named.digest) {
        Err(PackageError::Targets { .. } | PackageError::NoManifest { .. }) => return Ok(None),
        several => several?,
    };
    let found = load::select_one(&narrowed, &named.index, &named.digest)?;
    let Some(target) = load::try_load(store, &named.reference, &found)? else { return Ok(None) };
    for layer in &target.decoded.package.layers {
        if !store.has(&layer.blob())? {
            return Ok(None);
        }
    }
    Ok(Some(target))
}

/// The selection, where it leaves things open as narrow as is usual. A manifest's digest leaves nothing open; an index's does.
fn narrowed(selection: &Selection, usual: &Query, index: &Digest) -> Selection {
    let mut selection = selection.clone();
    if selection.digest().is_none_or(|digest| digest == index) {
        let query = &mut selection.query;
        query.architecture = query.architecture.take().or_else(|| usual.architecture.clone());
        query.platform = query.platform.take().or_else(|| usual.platform.clone());
    }
    selection
}

impl Resolved {
    /// The package.
    pub(crate) fn reference(&self) -> String {
        self.reference.to_string()
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> &Digest {
        &self.target.entry.digest
    }

    /// What it is and how it starts.
    pub(crate) fn config(&self) -> &ImageConfig {
        &self.target.decoded.package.config
    }

    /// Fetches what is not here, and unpacks this very target.
    pub(crate) async fn unpack(
        &self,
        packages: &Packages,
        directory: &Path,
        halt: &Halt,
    ) -> Result<UnpackReport, PackageError> {
        if let Some((repository, index)) = &self.published {
            packages.reporter.note(format!("fetching {}", self.reference));
            let targets = std::slice::from_ref(&self.target);
            pull::bring(packages, &self.reference, (repository, index), targets).await?;
        }
        unpack_target(packages, &self.reference(), &self.target, directory, halt)
    }
}

#[cfg(test)]
mod tests {
    use port_content::hashing::digest_of;

    use super::*;

    #[test]
    fn ku_32_an_index_s_digest_leaves_open_what_a_manifest_s_does_not() {
        let words = |architecture: Option<&str>, platform: Option<&str>| Query {
            architecture: architecture.map(str::to_owned),
            platform: platform.map(str::to_owned),
            features: Vec::new(),
        };
        let (index, manifest) = (digest_of(b"index"), digest_of(b"manifest"));
        let usual = words(Some("arm64"), Some("fc"));
        let name = port_layout::kraftkit::parse_name("hello").unwrap();
        for (reference, said, expected) in [
            (name.clone(), words(None, None), usual.clone()),
            (
                name.clone().with_digest(index.clone()),
                words(None, Some("xen")),
                words(Some("arm64"), Some("xen")),
            ),
            (name.clone().with_digest(manifest), words(None, None), words(None, None)),
            (name, words(Some("arm"), Some("xen")), words(Some("arm"), Some("xen"))),
        ] {
            let selection = Selection { reference, query: said };
            assert_eq!(narrowed(&selection, &usual, &index).query, expected, "{}", selection.reference);
        }
    }
}
