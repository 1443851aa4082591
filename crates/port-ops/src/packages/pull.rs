//! pull: the selected targets of a package from a registry into the store (acceptance K-45 … K-60, K-82 … K-85, Ku-18).
//!
//! ```text
//! index ─► targets that fit ─► do the policies take them? ─► manifests, configs ─► layers that are not here ─► lock ─► local index ─► workdir
//! ```
//!
//! The local index has only what was asked for, beside what was there; a target that is pulled again replaces the one of
//! the same platform.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use port_content::hashing::digest_of;
use port_layout::kraftkit::{self, Found};
use port_layout::{Blob, Strategy};
use port_model::{Digest, Reference};
use port_registry::Repository;
use serde::Serialize;

use super::load::{self, Target};
use super::store::Named;
use super::unpack::unpack_for_user;
use super::{PackageError, Packages, Selection, UnpackReport, fetch, trust};

/// How many documents or layers are fetched at the same time.
const AT_ONCE: usize = 4;
/// How often layers are fetched that somebody removes meanwhile.
const TRIES: u32 = 3;

/// What is here now.
#[derive(Debug, Serialize)]
pub struct PullReport {
    /// The package.
    pub reference: String,
    /// The registry's index.
    pub remote_index: Digest,
    /// The local index, which has only what was pulled.
    pub index: Digest,
    /// The targets.
    pub targets: Vec<PulledTarget>,
    /// Bytes of layers that were fetched.
    pub fetched_bytes: u64,
    /// Bytes of layers that were here.
    pub found_bytes: u64,
    /// What was unpacked, where a directory was given.
    pub unpacked: Option<UnpackReport>,
}

/// One target.
#[derive(Debug, Serialize)]
pub struct PulledTarget {
    /// The manifest.
    pub manifest: Digest,
    /// In Unikraft's words.
    pub platform: String,
    /// In Unikraft's words.
    pub architecture: String,
    /// The platform checksum.
    pub checksum: String,
}

/// Pulls what is selected and, where a directory is given, unpacks it there; then it must be one target.
///
/// # Errors
/// [`PackageError`]; the package is what it was before then, unless only the unpacking failed: then it is pulled.
pub async fn pull(
    packages: &Packages,
    selection: &Selection,
    workdir: Option<&Path>,
) -> Result<PullReport, PackageError> {
    let name = selection.name();
    let repository = packages.repository(&name)?;
    let remote = fetch::index(&repository, selection).await?;
    let chosen = match workdir {
        Some(_) => vec![load::select_one(selection, &remote.index, &remote.digest)?],
        None => load::select(selection, &remote.index, &remote.digest)?,
    };
    trust::require(packages, &name, chosen.iter().map(|found| &found.descriptor.digest)).await?;
    let targets = targets(packages, &repository, selection, &chosen).await?;
    let mut report = bring(packages, &name, (&repository, &remote.digest), &targets).await?;
    if let (Some(directory), Some(wanted)) = (workdir, targets.first()) {
        report.unpacked = Some(unpack(packages, selection, wanted, directory)?);
    }
    Ok(report)
}

/// Brings targets here whose documents are known, and gives them their name.
pub(super) async fn bring(
    packages: &Packages,
    name: &Reference,
    (repository, remote_index): (&Repository, &Digest),
    targets: &[Target],
) -> Result<PullReport, PackageError> {
    let (fetched_bytes, found_bytes) = layers(packages, repository, targets).await?;
    let mut tries = 1;
    let index = loop {
        if let Some(index) = save(packages, name, targets)? {
            break index;
        }
        // Somebody removed a package with a layer that was here.
        layers(packages, repository, targets).await?;
        tries += 1;
        if tries > TRIES {
            let place = packages.store.describe();
            return Err(PackageError::NotFound { reference: name.to_string(), place });
        }
    };
    let reference = name.to_string();
    let pulled = targets.iter().map(|target| PulledTarget {
        manifest: target.entry.digest.clone(),
        platform: target.decoded.package.config.platform.os.clone(),
        architecture: target.decoded.package.config.platform.architecture.clone(),
        checksum: checksum(&reference, target),
    });
    Ok(PullReport {
        targets: pulled.collect(),
        remote_index: remote_index.clone(),
        index,
        fetched_bytes,
        found_bytes,
        unpacked: None,
        reference,
    })
}

pub(super) async fn targets(
    packages: &Packages,
    repository: &Repository,
    selection: &Selection,
    chosen: &[Found],
) -> Result<Vec<Target>, PackageError> {
    let name = selection.name();
    let fetches = chosen.iter().map(|found| fetch::target(packages, repository, &name, found));
    stream::iter(fetches).buffered(AT_ONCE).try_collect().await
}

/// Brings the layers of these targets here; says how many bytes came and how many were here.
pub(super) async fn layers(
    packages: &Packages,
    repository: &Repository,
    targets: &[Target],
) -> Result<(u64, u64), PackageError> {
    let all = targets.iter().flat_map(|target| &target.decoded.package.layers);
    let wanted: BTreeMap<Digest, Blob> = all.map(|layer| (layer.digest.clone(), layer.blob())).collect();
    let (mut fetched, mut found) = (0u64, 0u64);
    let wanted: Vec<Blob> = wanted.into_values().collect();
    for group in wanted.chunks(AT_ONCE) {
        let brought = try_join_all(group.iter().map(|blob| fetch::blob(packages, repository, blob))).await?;
        for (blob, was_fetched) in group.iter().zip(brought) {
            let sum = if was_fetched { &mut fetched } else { &mut found };
            *sum = sum.saturating_add(blob.size);
        }
    }
    Ok((fetched, found))
}

/// Puts the targets into the local index; `None` where a layer has gone meanwhile.
fn save(packages: &Packages, name: &Reference, targets: &[Target]) -> Result<Option<Digest>, PackageError> {
    let store = &packages.store;
    let _change = store.change()?;
    for layer in targets.iter().flat_map(|target| &target.decoded.package.layers) {
        if !store.has(&layer.blob())? {
            return Ok(None);
        }
    }
    let before = store.find(name)?;
    let mut index = before.as_ref().map(|before| before.index.clone());
    for target in targets {
        store.add_bytes("config", &target.documents.config)?;
        store.add_bytes("manifest", &target.documents.manifest)?;
        let package = target.package(name);
        let merged = kraftkit::merge(index.as_ref(), &package, &target.documents, Strategy::Merge)?;
        index = Some(merged.index);
    }
    let (digest, _) = store.save(name, &index.unwrap_or_default(), before.as_ref())?;
    Ok(Some(digest))
}

fn checksum(seed: &str, target: &Target) -> String {
    let platform = kraftkit::normalized(&target.decoded.package.config.platform);
    kraftkit::checksum(seed, &platform, digest_of)
}

/// Unpacks what the package has for the platform now, found in its own index alone (acceptance K-83, K-84, C-19).
fn unpack(
    packages: &Packages,
    selection: &Selection,
    wanted: &Target,
    directory: &Path,
) -> Result<UnpackReport, PackageError> {
    let name = selection.name();
    let named: Named = packages.store.get(&name)?;
    let (seed, sought) = (name.to_string(), checksum(&name.to_string(), wanted));
    for found in kraftkit::discover(&named.index) {
        // A writer that came between may have put another target there: nobody was asked about that one.
        if found.descriptor.digest == wanted.entry.digest
            && let Some(target) = load::try_load(&packages.store, &name, &found)?
            && checksum(&seed, &target) == sought
        {
            return unpack_for_user(packages, &seed, &target, directory);
        }
    }
    Err(PackageError::NoManifest { reference: seed, digest: wanted.entry.digest.clone() })
}
