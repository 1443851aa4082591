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
use port_layout::kubesolo::{self, Blob, Extra, Metadata};
use port_layout::media_types::OCI_MANIFEST;
use port_model::{Architecture, Digest};
use port_packed::Control;
use port_packed::block_index::BlockIndex;
use port_registry::{BlobSource, BlobUpload, Condition, Kind, Manifest, Pushed, Repository, TagOrDigest};
use serde::Serialize;

use super::{Publisher, RepositoryPlace, UpdateError, check, look, tag};

/// A smaller root file system is fetched whole, as a file-system store does.
const LEAST_INDEXED: u64 = 1 << 20;

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
    /// The root file system's file, raw, where the release has one.
    pub root_filesystem: Option<PathBuf>,
    /// What the kernel is to be started with; nothing is said where it is empty.
    pub boot_arguments: String,
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
    /// The root file system's layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_filesystem: Option<PublishedBlob>,
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
    check::boot_arguments(&request.boot_arguments)?;
    let root = match &request.root_filesystem {
        Some(path) => Some(root(path).await?),
        None => None,
    };
    let extra = Extra {
        root_filesystem: root.as_ref().map(|root| root.blob.clone()),
        root_index: root.as_ref().and_then(|root| root.index.as_deref().map(blob_of)),
        boot_arguments: request.boot_arguments,
    };
    let files = (&kernel, &initramfs);
    let documents = kubesolo::encode_with(&request.metadata, request.architecture, files, &extra)?;
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
    let mut root_filesystem = None;
    if let (Some(root), Some(path)) = (root, &request.root_filesystem) {
        if let Some(index) = root.index {
            repository.push_blob(&in_memory(index)).await?;
        }
        root_filesystem = Some(send(&repository, path, root.blob).await?);
    }
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
        root_filesystem,
    })
}

/// A root file system, and the hashes of its blocks, by which machines fetch what they lack.
struct Root {
    blob: Blob,
    /// None where it has too much data for one, or is so small that nobody gains by it.
    index: Option<Vec<u8>>,
}

async fn root(path: &Path) -> Result<Root, UpdateError> {
    let blob = hash(path).await?;
    if blob.size < LEAST_INDEXED {
        return Ok(Root { blob, index: None });
    }
    let (path_there, digest) = (path.to_owned(), blob.digest.clone());
    let indexed = tokio::task::spawn_blocking(move || {
        let (file, _) = port_content::fs::open_regular(&path_there)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let index = BlockIndex::of(&file, Some(&digest), threads, &Control::default())?;
        Ok::<_, UpdateError>(index.map(|index| index.encode()).transpose()?)
    });
    let index = indexed.await.map_err(|error| FsError::new("read", path, std::io::Error::other(error)))??;
    Ok(Root { blob, index })
}

fn blob_of(bytes: &[u8]) -> Blob {
    Blob { digest: digest_of(bytes), size: bytes.len() as u64 }
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
