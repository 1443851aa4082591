//! check and fetch: what a tag offers to one architecture, and its kernel and initramfs brought to a directory
//! (acceptance O-16 … O-41).
//!
//! check reads documents only. fetch leaves two whole files or none: both are complete, and checked against their
//! descriptors, before the first takes its place.

use std::path::{Path, PathBuf};

use port_content::{atomic, fs};
use port_layout::kubesolo::{self, INITRAMFS_NAME, KERNEL_NAME, Metadata, Release, Resolved};
use port_layout::{Blob, Descriptor};
use port_model::{Architecture, Digest};
use port_registry::{Kind, Partial, Repository, TagOrDigest};
use serde::Serialize;

use super::{Publisher, RepositoryPlace, UpdateError, look, tag};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The repository of the releases.
    pub place: RepositoryPlace,
    /// A channel or a version, as `stable` or `v0.3.0`.
    pub tag: String,
    /// For which machine.
    pub architecture: Architecture,
}

/// What a tag offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The manifest for this architecture.
    pub manifest: Digest,
    /// What the release says of itself.
    pub metadata: ReleaseFacts,
    /// The kernel.
    pub kernel: OfferedBlob,
    /// The initramfs.
    pub initramfs: OfferedBlob,
}

/// A release's metadata. What its publisher left out is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseFacts {
    /// `v0.3.0`.
    pub version: String,
    /// `stable`.
    pub channel: String,
    /// The oldest version that may update to this one.
    pub min_compatible_version: String,
    /// In Go's names.
    pub architecture: String,
    /// A few words for people.
    pub release_notes: String,
    /// In RFC 3339.
    pub release_date: String,
}

/// A blob that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfferedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FetchReport {
    /// What the tag offered.
    #[serde(flatten)]
    pub offered: CheckReport,
    /// The kernel's file.
    pub kernel_path: PathBuf,
    /// The initramfs's file.
    pub initramfs_path: PathBuf,
}

/// Says what the tag offers; no blob is fetched.
pub async fn check(registry: &Publisher, request: &FetchRequest) -> Result<CheckReport, UpdateError> {
    let repository = registry.repository(&request.place)?;
    let Pinned { manifest, release, .. } = resolve(&repository, request).await?;
    Ok(report(request, manifest, &release))
}

/// Brings kernel and initramfs to `stage`, which is made.
pub async fn fetch(
    registry: &Publisher,
    request: &FetchRequest,
    stage: &Path,
) -> Result<FetchReport, UpdateError> {
    let repository = registry.repository(&request.place)?;
    let Pinned { manifest, release, .. } = resolve(&repository, request).await?;
    fs::create_dir_all(stage)?;
    let parts = [(KERNEL_NAME, &release.kernel), (INITRAMFS_NAME, &release.initramfs)];
    let mut partials = Vec::new();
    for (name, blob) in parts {
        partials.push((stage.join(name), bring(&repository, stage, name, blob).await?));
    }
    for (path, partial) in partials {
        atomic::place(partial.path(), &path)?;
        partial.forget()?;
    }
    Ok(FetchReport {
        offered: report(request, manifest, &release),
        kernel_path: stage.join(KERNEL_NAME),
        initramfs_path: stage.join(INITRAMFS_NAME),
    })
}

/// The blob in a hidden file of `stage`. After an error nothing is left of it; after a kill the next fetch continues it.
async fn bring(
    repository: &Repository,
    stage: &Path,
    name: &str,
    blob: &Descriptor,
) -> Result<Partial, UpdateError> {
    let Blob { digest, size } = blob.blob();
    let partial = Partial::wait(&stage.join(format!(".{name}.partial"))).await?;
    match repository.blob_to_file(&digest, size, &partial).await {
        Ok(()) => Ok(partial),
        Err(error) => {
            partial.forget()?;
            Err(error.into())
        }
    }
}

/// What a tag led to when it was asked, once.
pub(super) struct Pinned {
    /// What the tag itself names: an index, or the manifest.
    pub(super) root: Descriptor,
    /// The manifest for the architecture.
    pub(super) manifest: Digest,
    /// What it says.
    pub(super) release: Release,
}

/// The release behind the tag, through an index if it is one.
pub(super) async fn resolve(repository: &Repository, request: &FetchRequest) -> Result<Pinned, UpdateError> {
    let name = tag(&request.tag)?;
    let found = look(repository, &name).await?.ok_or_else(|| UpdateError::NoSuchTag {
        repository: request.place.to_string(),
        tag: request.tag.clone(),
    })?;
    let declared = Some(found.media_type.as_str());
    let root = Descriptor::new(&found.media_type, found.digest.clone(), found.bytes.len() as u64);
    let entry = match kubesolo::resolve(&found.bytes, declared, &request.tag, request.architecture)? {
        Resolved::Release(release) => {
            return Ok(Pinned { root, manifest: found.digest, release: *release });
        }
        Resolved::Entry(entry) => entry,
    };
    let manifest = match repository.manifest(&TagOrDigest::Digest(entry.digest.clone())).await {
        Err(error) if error.kind() == Kind::NotFound => {
            return Err(UpdateError::Gone { tag: request.tag.clone(), digest: entry.digest });
        }
        other => other?,
    };
    let size = manifest.bytes.len() as u64;
    if size != entry.size {
        let (tag, expected) = (request.tag.clone(), entry.size);
        return Err(UpdateError::Size { tag, digest: entry.digest, expected, found: size });
    }
    let declared = Some(manifest.media_type.as_str());
    let release = kubesolo::decode(&manifest.bytes, declared, &request.tag, request.architecture)?;
    Ok(Pinned { root, manifest: manifest.digest, release })
}

fn report(request: &FetchRequest, manifest: Digest, release: &Release) -> CheckReport {
    let Metadata { version, channel, min_compatible_version, architecture, release_notes, release_date } =
        release.metadata.clone();
    let offered = |blob: &Descriptor| OfferedBlob { digest: blob.digest.clone(), bytes: blob.size };
    CheckReport {
        repository: request.place.to_string(),
        tag: request.tag.clone(),
        manifest,
        metadata: ReleaseFacts {
            version,
            channel,
            min_compatible_version,
            architecture,
            release_notes,
            release_date,
        },
        kernel: offered(&release.kernel),
        initramfs: offered(&release.initramfs),
    }
}
