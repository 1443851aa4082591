//! Moving one blob: not at all where it is there, by the registry itself where it can, else through a file.
//!
//! ```text
//! registry ─► same registry       mount, else as below
//! registry ─► another registry    small: memory; else a partial file in store or cache, which a rerun continues
//! registry ─► layout              the layout's partial file, renamed
//! layout   ─► registry            hashed, then sent
//! layout   ─► layout              a reflink where possible, hashed where it lies
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use port_content::{fs, lock};
use port_layout::Descriptor;
use port_registry::{BlobSource, BlobUpload, Kind, Partial, Pushed, Repository};
use port_store::Store;

use crate::copy::layout::Layout;
use crate::copy::side::Side;
use crate::copy::{CopyError, Outcome};

/// Blobs of at most this many bytes go through memory.
const SMALL: u64 = 1 << 20;

/// Where blobs on their way from registry to registry lie.
pub(crate) struct Scratch {
    directory: PathBuf,
    /// Where there is neither store nor cache, the files go with this process.
    _temporary: Option<tempfile::TempDir>,
    /// Keeps garbage collection of the store away from the partial files.
    _operation: Option<port_store::Operation>,
}

impl Scratch {
    /// In the store, where there is one; else in the user's cache. A temporary directory is often memory, loses what a killed
    /// copy had, and keeps its bytes: it is taken only where there is nothing else.
    pub(crate) fn new(store: Option<&Store>, cache: Option<&Path>) -> Result<Self, CopyError> {
        if let Some(store) = store {
            let operation = store.operation()?;
            let directory = store.root().join("partial");
            fs::create_dir_all(&directory)?;
            return Ok(Self { directory, _temporary: None, _operation: Some(operation) });
        }
        if let Some(cache) = cache {
            let directory = cache.join("copies");
            fs::create_dir_all(&directory)?;
            return Ok(Self { directory, _temporary: None, _operation: None });
        }
        let temporary = tempfile::tempdir().map_err(|source| {
            fs::FsError::new("create a temporary directory in", &std::env::temp_dir(), source)
        })?;
        Ok(Self { directory: temporary.path().to_owned(), _temporary: Some(temporary), _operation: None })
    }
}

/// Brings one blob to the destination.
pub(crate) async fn blob(
    source: &Side,
    destination: &Side,
    blob: &Descriptor,
    scratch: &Scratch,
) -> Result<Outcome, CopyError> {
    match (source, destination) {
        (Side::Registry(from), Side::Registry(to)) => between(from, to, blob, scratch).await,
        (Side::Registry(from), Side::Layout { layout, .. }) => download(from, layout, blob).await,
        (Side::Layout { layout, .. }, Side::Registry(to)) => upload(layout, to, blob).await,
        (Side::Layout { layout: from, .. }, Side::Layout { layout: to, .. }) => {
            let (from, to, blob) = (Arc::clone(from), Arc::clone(to), blob.clone());
            blocking(move || {
                if to.has(&blob)? {
                    return Ok(Outcome::Found);
                }
                let (file, _) = from.blob(&blob)?;
                to.add_copy(&file, &blob)?;
                Ok(Outcome::Copied)
            })
            .await
        }
    }
}

async fn download(from: &Repository, to: &Arc<Layout>, blob: &Descriptor) -> Result<Outcome, CopyError> {
    let (layout, wanted) = (Arc::clone(to), blob.clone());
    if blocking(move || layout.has(&wanted)).await? {
        return Ok(Outcome::Found);
    }
    let (partial, layout, wanted) = (to.partial_path(&blob.digest)?, Arc::clone(to), blob.clone());
    let place = partial.clone();
    let (_claim, found) = blocking(move || {
        let claim = lock::claim(&place)?;
        // Whoever had it before may have brought the blob.
        let found = layout.has(&wanted)?;
        Ok((claim, found))
    })
    .await?;
    if found {
        return Ok(Outcome::Found);
    }
    let held = Partial::wait(&partial).await?;
    from.blob_to_file(&blob.digest, blob.size, &held).await?;
    to.adopt(&blob.digest)?;
    held.forget()?;
    Ok(Outcome::Copied)
}

async fn upload(from: &Arc<Layout>, to: &Repository, blob: &Descriptor) -> Result<Outcome, CopyError> {
    if to.has_blob(&blob.digest).await? {
        return Ok(Outcome::Found);
    }
    let (layout, wanted) = (Arc::clone(from), blob.clone());
    let (_, path) = blocking(move || layout.blob(&wanted)).await?;
    push(to, blob, BlobSource::Path(path)).await
}

async fn between(
    from: &Repository,
    to: &Repository,
    blob: &Descriptor,
    scratch: &Scratch,
) -> Result<Outcome, CopyError> {
    if to.has_blob(&blob.digest).await? {
        return Ok(Outcome::Found);
    }
    if from.registry() == to.registry() && mounted(from, to, blob).await? {
        return Ok(Outcome::Mounted);
    }
    if blob.size <= SMALL {
        let bytes = from.blob_to_memory(&blob.digest, blob.size, SMALL).await?;
        return push(to, blob, BlobSource::Bytes(bytes)).await;
    }
    let partial = scratch.directory.join(format!("{}.copy", blob.digest.hex()));
    // Held until the blob is sent: another copy of the same blob would take the file away.
    let place = partial.clone();
    let _claim = blocking(move || Ok(lock::claim(&place)?)).await?;
    let held = Partial::wait(&partial).await?;
    from.blob_to_file(&blob.digest, blob.size, &held).await?;
    let outcome = push(to, blob, BlobSource::Path(partial.clone())).await?;
    held.forget()?;
    Ok(outcome)
}

/// A mount is an offer to save work: a registry that refuses it is sent the bytes.
async fn mounted(from: &Repository, to: &Repository, blob: &Descriptor) -> Result<bool, CopyError> {
    match to.mount(&blob.digest, from.name()).await {
        Ok(mounted) => Ok(mounted),
        Err(error)
            if matches!(error.kind(), Kind::Unavailable | Kind::Hostile | Kind::Corrupt | Kind::Local) =>
        {
            Err(error.into())
        }
        Err(_) => Ok(false),
    }
}

async fn push(to: &Repository, blob: &Descriptor, source: BlobSource) -> Result<Outcome, CopyError> {
    let upload = BlobUpload { digest: blob.digest.clone(), size: blob.size, source, mount_from: None };
    match to.push_blob(&upload).await? {
        Pushed::AlreadyThere => Ok(Outcome::Found),
        Pushed::Mounted => Ok(Outcome::Mounted),
        Pushed::Sent => Ok(Outcome::Copied),
    }
}

/// Runs what hashes or copies files away from the threads that serve connections.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CopyError> + Send + 'static,
) -> Result<T, CopyError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let source = std::io::Error::other(error);
        Err(fs::FsError::new("work on", std::path::Path::new("a blob"), source).into())
    })
}
