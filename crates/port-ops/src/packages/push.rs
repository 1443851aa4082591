//! push: a package of the store to its registry (acceptance K-74 … K-76, Ku-22).
//!
//! ```text
//! layers, configs (mounted where the registry has them) ─► manifests, by digest ─► index, by tag
//! ```
//!
//! The index goes last. With `merge` what others published for other targets stays in it; with `overwrite` the tag becomes
//! the local index.

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_layout::kraftkit::{self, PackageConflict};
use port_layout::media_types::OCI_INDEX;
use port_layout::{Blob, Descriptor, IndexDocument, Strategy};
use port_model::{Digest, Reference};
use port_registry::{
    BlobSource, BlobUpload, Condition, Kind, MergeError, Pushed, Repository, RepositoryName, TagOrDigest,
};
use serde::Serialize;

use super::load::{self, Target};
use super::store::Named;
use super::{PackageError, Packages, fetch, plain};

/// What is published now.
#[derive(Debug, Serialize)]
pub struct PackagePushReport {
    /// The package.
    pub reference: String,
    /// The index below the tag.
    pub index: Digest,
    /// The manifests that were pushed.
    pub manifests: Vec<Digest>,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Bytes that the registry took from another of its repositories.
    pub mounted_bytes: u64,
    /// Bytes that were there.
    pub found_bytes: u64,
}

/// Where the layers of an original are that are not in the store.
pub(super) struct Origin {
    pub(super) repository: Repository,
    /// Those that are at the destination already, and what it took to get them there.
    done: Vec<Digest>,
    moved: Moved,
}

impl Origin {
    pub(super) fn new(repository: Repository) -> Self {
        Self { repository, done: Vec::new(), moved: Moved::default() }
    }
}

/// How many bytes came to the destination, and how.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    sent: u64,
    mounted: u64,
    found: u64,
}

/// Moves an original's layers to the repository of `name`, before anything here says that it is made of them.
pub(super) async fn layers(
    packages: &Packages,
    name: &Reference,
    layers: &[Descriptor],
    origin: &mut Origin,
) -> Result<(), PackageError> {
    let repository = packages.repository(name)?;
    let mut moved = Moved::default();
    for layer in layers {
        let pushing = Pushing { packages, repository: &repository, origin: Some(origin), reference: name };
        pushing.layer(&layer.blob(), &mut moved).await?;
    }
    origin.done = layers.iter().map(|layer| layer.digest.clone()).collect();
    origin.moved = moved;
    Ok(())
}

/// Publishes all targets that the store has of a package.
///
/// # Errors
/// [`PackageError`]; the tag is what it was then.
pub async fn push(
    packages: &Packages,
    reference: &Reference,
    strategy: Strategy,
) -> Result<PackagePushReport, PackageError> {
    push_from(packages, reference, strategy, None).await
}

pub(super) async fn push_from(
    packages: &Packages,
    reference: &Reference,
    strategy: Strategy,
    origin: Option<&Origin>,
) -> Result<PackagePushReport, PackageError> {
    let name = plain(reference);
    let named = packages.store.get(&name)?;
    let targets = load::load_all(&packages.store, &named)?;
    let repository = packages.repository(&name)?;
    if strategy == Strategy::Exit {
        refuse_existing(&repository, &name).await?;
    }
    let mut moved = origin.map(|origin| origin.moved).unwrap_or_default();
    let mut manifests = Vec::new();
    let pushing = Pushing { packages, repository: &repository, origin, reference: &name };
    for target in &targets {
        for layer in &target.decoded.package.layers {
            pushing.layer(&layer.blob(), &mut moved).await?;
        }
        pushing.bytes(&target.documents.config, &mut moved).await?;
        let manifest = TagOrDigest::Digest(target.entry.digest.clone());
        let bytes = Bytes::from(target.documents.manifest.clone());
        repository.put_manifest(&manifest, &target.entry.media_type, &bytes, Condition::None).await?;
        manifests.push(target.entry.digest.clone());
    }
    Ok(PackagePushReport {
        reference: name.to_string(),
        index: index(&repository, &name, &named, &targets, strategy).await?,
        manifests,
        sent_bytes: moved.sent,
        mounted_bytes: moved.mounted,
        found_bytes: moved.found,
    })
}

/// One conflict error, before anything is sent (C-14).
pub(super) async fn refuse_existing(repository: &Repository, name: &Reference) -> Result<(), PackageError> {
    match repository.manifest(&fetch::tag_of(name)?).await {
        Ok(found) => {
            let index = IndexDocument::read(&found.bytes, Some(&found.media_type)).ok();
            let found = index.map_or(1, |index| index.entries().len());
            Err(PackageConflict::Exists { reference: name.to_string(), found }.into())
        }
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

struct Pushing<'a> {
    packages: &'a Packages,
    repository: &'a Repository,
    origin: Option<&'a Origin>,
    reference: &'a Reference,
}

impl Pushing<'_> {
    /// A layer: from the store or, where it is not there, from where its original is (acceptance K-74).
    async fn layer(&self, blob: &Blob, moved: &mut Moved) -> Result<(), PackageError> {
        if self.origin.is_some_and(|origin| origin.done.contains(&blob.digest)) {
            return Ok(());
        }
        let store = &self.packages.store;
        if !store.has(blob)? {
            if self.repository.has_blob(&blob.digest).await? {
                moved.found += blob.size;
                return Ok(());
            }
            let origin = self.origin.ok_or_else(|| self.gone(blob))?;
            if let Some(from) = self.mount_from()
                && self.repository.mount(&blob.digest, &from).await?
            {
                moved.mounted += blob.size;
                return Ok(());
            }
            fetch::blob(self.packages, &origin.repository, blob).await?;
        }
        // Open until all of it is sent.
        let file = store.open(blob)?.ok_or_else(|| self.gone(blob))?;
        self.send(blob, BlobSource::Path(file.path.clone()), moved).await
    }

    fn gone(&self, blob: &Blob) -> PackageError {
        PackageError::Gone {
            reference: self.reference.to_string(),
            digest: blob.digest.clone(),
            place: self.packages.store.describe(),
        }
    }

    async fn bytes(&self, bytes: &[u8], moved: &mut Moved) -> Result<(), PackageError> {
        let blob = Blob { digest: digest_of(bytes), size: bytes.len() as u64 };
        self.send(&blob, BlobSource::Bytes(Bytes::copy_from_slice(bytes)), moved).await
    }

    async fn send(&self, blob: &Blob, source: BlobSource, moved: &mut Moved) -> Result<(), PackageError> {
        let (digest, size) = (blob.digest.clone(), blob.size);
        let upload = BlobUpload { digest, size, source, mount_from: self.mount_from() };
        let sum = match self.repository.push_blob(&upload).await? {
            Pushed::Sent => &mut moved.sent,
            Pushed::Mounted => &mut moved.mounted,
            Pushed::AlreadyThere => &mut moved.found,
        };
        *sum += blob.size;
        Ok(())
    }

    /// The original's repository, where it is one of the same registry.
    fn mount_from(&self) -> Option<RepositoryName> {
        let origin = &self.origin?.repository;
        let is_other = origin.name() != self.repository.name();
        (origin.registry() == self.repository.registry() && is_other).then(|| origin.name().clone())
    }
}

/// Publishes the index; says which one is below the tag then.
async fn index(
    repository: &Repository,
    name: &Reference,
    named: &Named,
    targets: &[Target],
    strategy: Strategy,
) -> Result<Digest, PackageError> {
    let tag = fetch::tag_of(name)?;
    if strategy == Strategy::Overwrite {
        let bytes = Bytes::from(named.index.to_bytes());
        return Ok(repository.put_manifest(&tag, OCI_INDEX, &bytes, Condition::None).await?.digest);
    }
    let wanted = std::sync::Mutex::new(named.digest.clone());
    let merge = |existing: Option<&port_registry::Manifest>| {
        let bytes = match existing {
            // The local one, as it is.
            None => named.index.to_bytes(),
            Some(existing) => merged(name, existing, targets)?,
        };
        let digest = digest_of(&bytes);
        let is_there = existing.is_some_and(|existing| existing.digest == digest);
        if let Ok(mut wanted) = wanted.lock() {
            *wanted = digest;
        }
        Ok((!is_there).then(|| (OCI_INDEX.to_owned(), Bytes::from(bytes))))
    };
    repository.merge_manifest(&tag, &merge).await.map_err(|error| match error {
        MergeError::Refused(refusal) => refusal,
        MergeError::Registry(error) => PackageError::Registry(error),
    })?;
    Ok(wanted.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// What is published, with these targets in. An index that has them already stays as it is.
fn merged(
    name: &Reference,
    existing: &port_registry::Manifest,
    targets: &[Target],
) -> Result<Vec<u8>, PackageError> {
    let mut index = IndexDocument::read(&existing.bytes, Some(&existing.media_type))
        .map_err(|source| PackageError::Document { subject: format!("the published `{name}`"), source })?;
    let size =
        |digest: &Digest| Some(targets.iter().find(|target| target.entry.digest == *digest)?.entry.size);
    if targets.iter().all(|target| index.contains(&target.entry.digest)) {
        let mended = kraftkit::with_sizes(index.clone(), size);
        let is_same = mended.entries() == index.entries();
        return Ok(if is_same { existing.bytes.to_vec() } else { mended.to_bytes() });
    }
    for target in targets {
        let package = target.package(name);
        index = kraftkit::merge(Some(&index), &package, &target.documents, Strategy::Merge)?.index;
    }
    Ok(kraftkit::with_sizes(index, size).to_bytes())
}
