//! check and fetch: what a tag offers to one architecture, and its kernel and initramfs brought to a directory
//! (acceptance O-16 … O-41).
//!
//! check reads documents only. fetch leaves two whole files or none: both are complete, and checked against their
//! descriptors, before the first takes its place.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use port_content::{atomic, fs};
use port_layout::kubesolo::{self, INITRAMFS_NAME, KERNEL_NAME, Metadata, ROOT_NAME, Release, Resolved};
use port_layout::{Blob, Descriptor};
use port_model::{Architecture, Digest};
use port_registry::{Kind, Partial, Repository, TagOrDigest};
use serde::Serialize;

use super::{Publisher, RepositoryPlace, UpdateError, look, tag};
use crate::copy::{CopyError, Side};

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
    /// The root file system, where the release has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_filesystem: Option<OfferedBlob>,
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
    /// The root file system's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_filesystem_path: Option<PathBuf>,
}

/// Says what the tag offers; no blob is fetched.
pub async fn check(registry: &Publisher, request: &FetchRequest) -> Result<CheckReport, UpdateError> {
    let side = Side::Registry(registry.repository(&request.place)?);
    let Pinned { manifest, release, .. } = resolve(&side, &request.wanted()).await?;
    Ok(report(request, manifest, &release))
}

/// Brings kernel and initramfs to `stage`, which is made.
pub async fn fetch(
    registry: &Publisher,
    request: &FetchRequest,
    stage: &Path,
) -> Result<FetchReport, UpdateError> {
    let repository = registry.repository(&request.place)?;
    let side = Side::Registry(repository.clone());
    let Pinned { manifest, release, .. } = resolve(&side, &request.wanted()).await?;
    fs::create_dir_all(stage)?;
    let mut parts = vec![(KERNEL_NAME, &release.kernel), (INITRAMFS_NAME, &release.initramfs)];
    parts.extend(release.root_filesystem.as_ref().map(|blob| (ROOT_NAME, blob)));
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
        root_filesystem_path: release.root_filesystem.map(|_| stage.join(ROOT_NAME)),
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

/// Which release is to be found at a place.
pub(super) struct Wanted<'a> {
    /// The place, for people.
    pub(super) place: String,
    /// The tag; or a digest, which then is what it must be.
    pub(super) tag: &'a str,
    /// For which machine.
    pub(super) architecture: Architecture,
}

impl FetchRequest {
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted { place: self.place.to_string(), tag: &self.tag, architecture: self.architecture }
    }
}

/// The release behind the tag, through an index if it is one.
pub(super) async fn resolve(side: &Side, wanted: &Wanted<'_>) -> Result<Pinned, UpdateError> {
    let (tag, architecture) = (wanted.tag, wanted.architecture);
    let found = named(side, tag).await?;
    let (root, bytes) = found
        .ok_or_else(|| UpdateError::NoSuchTag { repository: wanted.place.clone(), tag: tag.to_owned() })?;
    let entry = match kubesolo::resolve(&bytes, Some(&root.media_type), tag, architecture)? {
        Resolved::Release(release) => {
            return Ok(Pinned { manifest: root.digest.clone(), root, release: *release });
        }
        Resolved::Entry(entry) => entry,
    };
    let (media_type, bytes) = entry_bytes(side, &entry, tag).await?;
    let release = kubesolo::decode(&bytes, Some(&media_type), tag, architecture)?;
    Ok(Pinned { root, manifest: entry.digest, release })
}

/// What a tag or digest is at this moment; `None` where there is nothing.
pub(super) async fn named(side: &Side, name: &str) -> Result<Option<(Descriptor, Bytes)>, UpdateError> {
    let repository = match side {
        Side::Registry(repository) => repository,
        Side::Layout { layout, .. } => {
            let found = match name.parse() {
                Ok(digest) => layout.find_digest(&digest)?,
                Err(_) => layout.find(name)?,
            };
            let Some(root) = found else { return Ok(None) };
            let bytes = layout.document(&root)?;
            return Ok(Some((root, bytes.into())));
        }
    };
    let found = look(repository, &tag(name)?).await?;
    Ok(found.map(|found| {
        let size = found.bytes.len() as u64;
        (Descriptor::new(&found.media_type, found.digest, size), found.bytes)
    }))
}

/// The manifest behind an entry of an index, with its media type.
pub(super) async fn entry_bytes(
    side: &Side,
    entry: &Descriptor,
    tag: &str,
) -> Result<(String, Bytes), UpdateError> {
    let gone = || UpdateError::Gone { tag: tag.to_owned(), digest: entry.digest.clone() };
    let repository = match side {
        Side::Registry(repository) => repository,
        Side::Layout { layout, .. } => match layout.document(entry) {
            Err(CopyError::NotFound { .. }) => return Err(gone()),
            other => return Ok((entry.media_type.clone(), other?.into())),
        },
    };
    let manifest = match repository.manifest(&TagOrDigest::Digest(entry.digest.clone())).await {
        Err(error) if error.kind() == Kind::NotFound => return Err(gone()),
        other => other?,
    };
    let size = manifest.bytes.len() as u64;
    if size != entry.size {
        let (tag, expected) = (tag.to_owned(), entry.size);
        return Err(UpdateError::Size { tag, digest: entry.digest.clone(), expected, found: size });
    }
    Ok((manifest.media_type, manifest.bytes))
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
        root_filesystem: release.root_filesystem.as_ref().map(offered),
    }
}
