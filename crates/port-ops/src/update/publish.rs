//! publish: one kernel and one initramfs as the release of one architecture (acceptance O-47).
//!
//! ```text
//! check fields ─► hash files ─► documents ─► tag free? ─► blobs ─► manifest under <version>-<arch>
//! ```
//!
//! The files are hashed once and then sent; a file that changes in between is refused by its digest.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use port_content::FsError;
use port_content::hashing::{digest_file, digest_of};
use port_layout::kubesolo::{self, Blob, Metadata};
use port_layout::media_types::OCI_MANIFEST;
use port_model::{Architecture, Digest};
use port_registry::{BlobSource, BlobUpload, Condition, Kind, Manifest, Pushed, Repository, TagOrDigest};
use serde::Serialize;

use super::{Publisher, RepositoryPlace, UpdateError, check, look, tag};

/// What is to be published.
#[derive(Debug)]
pub struct PublishRequest {
    /// Where.
    pub place: RepositoryPlace,
    /// For which machines.
    pub architecture: Architecture,
    /// The kernel's file.
    pub kernel: PathBuf,
    /// The initramfs's file.
    pub initramfs: PathBuf,
    /// What the release says of itself.
    pub metadata: Metadata,
    /// Whether another content of the tag is replaced.
    pub overwrite: bool,
}

/// What was published.
#[derive(Debug, Serialize)]
pub struct PublishReport {
    /// `HOST/PATH`.
    pub repository: String,
    /// The tag of this architecture's manifest.
    pub tag: String,
    /// The release.
    pub version: String,
    /// Its channel; machines follow it when the index is composed.
    pub channel: String,
    /// Go's name.
    pub architecture: &'static str,
    /// The manifest.
    pub manifest: Digest,
    /// What the tag pointed to before, where that was something else.
    pub replaced: Option<Digest>,
    /// The kernel's layer.
    pub kernel: PublishedBlob,
    /// The initramfs's layer.
    pub initramfs: PublishedBlob,
}

/// One file in the registry.
#[derive(Debug, Serialize)]
pub struct PublishedBlob {
    /// Where it came from.
    pub path: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it was sent; the registry had it otherwise.
    pub sent: bool,
}

/// Publishes one architecture of a release. A rerun finds its work done, or goes on where a kill left it.
///
/// # Errors
/// [`UpdateError`]; the tag is as it was then.
pub async fn publish(publisher: &Publisher, request: PublishRequest) -> Result<PublishReport, UpdateError> {
    check::release(&request.metadata)?;
    let kernel = hash(&request.kernel).await?;
    let initramfs = hash(&request.initramfs).await?;
    let documents = kubesolo::encode(&request.metadata, request.architecture, &kernel, &initramfs)?;
    let manifest = digest_of(&documents.manifest);
    let tag_text = kubesolo::single_tag(&request.metadata.version, request.architecture);
    let name = tag(&tag_text)?;
    let repository = publisher.repository(&request.place)?;
    let before = look(&repository, &name).await?;
    let replaced = before.as_ref().map(|before| before.digest.clone()).filter(|found| *found != manifest);
    if let Some(found) = replaced.clone().filter(|_| !request.overwrite) {
        return Err(UpdateError::Taken { tag: tag_text, expected: manifest, found });
    }
    publisher.reporter.note(format!("publishing manifest {manifest}"));
    repository.push_blob(&in_memory(documents.config)).await?;
    let kernel = send(&repository, &request.kernel, kernel).await?;
    let initramfs = send(&repository, &request.initramfs, initramfs).await?;
    write(&repository, &name, &tag_text, documents.manifest, before.as_ref()).await?;
    Ok(PublishReport {
        repository: request.place.to_string(),
        tag: tag_text,
        version: request.metadata.version,
        channel: request.metadata.channel,
        architecture: request.architecture.oci_name(),
        manifest,
        replaced,
        kernel,
        initramfs,
    })
}

async fn hash(path: &Path) -> Result<Blob, UpdateError> {
    let path_there = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || digest_file(&path_there)).await;
    let (digest, size) =
        hashed.map_err(|error| FsError::new("read", path, std::io::Error::other(error)))??;
    Ok(Blob { digest, size })
}

fn in_memory(bytes: Vec<u8>) -> BlobUpload {
    let bytes = Bytes::from(bytes);
    let (digest, size) = (digest_of(&bytes), bytes.len() as u64);
    BlobUpload { digest, size, source: BlobSource::Bytes(bytes), mount_from: None }
}

async fn send(repository: &Repository, path: &Path, blob: Blob) -> Result<PublishedBlob, UpdateError> {
    let source = BlobSource::Path(path.to_owned());
    let upload = BlobUpload { digest: blob.digest.clone(), size: blob.size, source, mount_from: None };
    let pushed = repository.push_blob(&upload).await?;
    let sent = pushed == Pushed::Sent;
    Ok(PublishedBlob { path: path.to_owned(), digest: blob.digest, bytes: blob.size, sent })
}

/// Puts the manifest under its tag, if the tag is still as it was seen.
async fn write(
    repository: &Repository,
    name: &TagOrDigest,
    tag: &str,
    manifest: Vec<u8>,
    before: Option<&Manifest>,
) -> Result<(), UpdateError> {
    let bytes = Bytes::from(manifest);
    let condition = match before {
        Some(Manifest { etag: Some(etag), .. }) => Condition::Unchanged(etag),
        Some(_) => Condition::None,
        None => Condition::Absent,
    };
    match repository.put_manifest(name, OCI_MANIFEST, &bytes, condition).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == Kind::Changed => {
            let expected = digest_of(&bytes);
            match look(repository, name).await? {
                // The answer to an earlier try was lost, or somebody publishes the same.
                Some(there) if there.digest == expected => Ok(()),
                Some(there) => Err(UpdateError::Taken { tag: tag.to_owned(), expected, found: there.digest }),
                None => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}
