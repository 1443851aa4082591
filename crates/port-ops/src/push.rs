//! push: local path → store → backend, and a copy in the cache (acceptance P-44, P-49). A large file goes into the store while it
//! goes out to a registry, both from where it lies.

use std::path::PathBuf;
use std::sync::Arc;

use port_backend::{Backend, Document, Documents, FileSystem, Publication, PublishedFile};
use port_config::Backend as BackendConfig;
use port_content::fs;
use port_content::hashing::digest_of;
use port_layout as layout;
use port_layout::index::Strategy;
use port_layout::native::{self, Stored};
use port_model::{Bundle, Component, Digest, Encoding, FileName, Reference, Variant};
use port_registry::Repository;
use serde::Serialize;

use crate::encode::{Encoder, goes_out_as_it_is};
use crate::error::OpsError;
use crate::hosted::Face;
use crate::local::{HashedFile, LocalFile};
use crate::mounts::Mounts;
use crate::packed::parent::ParentChoice;
use crate::preflight::Preflight;
use crate::published::Entry;
use crate::registry::Reading;
use crate::source::Source;
use crate::target::Target;
use crate::workspace::Workspace;
use crate::{describe, local, published, pvm, registry};

/// What push or pull did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransferReport {
    /// The artifact's name in `port.toml`.
    pub artifact: String,
    /// Its class.
    pub class: port_model::ArtifactClass,
    /// Its logical name.
    pub reference: Reference,
    /// Which variant.
    pub variant: Variant,
    /// Which backend: `file-system <root>`.
    pub backend: String,
    /// Digest of the manifest, which names everything else.
    pub manifest: Digest,
    /// The files, the main one first.
    pub files: Vec<FileReport>,
    /// Sum of the files' sizes, in bytes.
    pub bytes: u64,
    /// How many of them had to be moved between store and backend, with what an interrupted transfer had left here.
    pub moved_bytes: u64,
    /// Why a push that succeeded could not publish all deltas.
    pub delta_error: Option<String>,
    /// Why the cache does not have what a push published.
    pub cache_error: Option<String>,
}

/// One file that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Where it is locally.
    pub local_path: PathBuf,
    /// Where the backend has it.
    pub store_path: String,
    /// Where the cache has it.
    pub cache_path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest.
    pub digest: Digest,
    /// How it is published.
    pub encoding: Encoding,
    /// Sum of the sizes of the blobs that it is published as.
    pub published_bytes: u64,
    /// Bytes of the file that nobody had to move: in a pull what lay here, in a push what the parent has. `None` where nobody
    /// looked.
    pub found_bytes: Option<u64>,
}

/// What a push is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// What happens to a variant that is published already, where the backend has an index of variants.
    pub strategy: Strategy,
    /// Which version a packed component is packed against.
    pub parent: ParentChoice,
    /// For how many earlier versions deltas are published; the configuration's number where it is not given.
    pub deltas: Option<u32>,
}

/// Publishes the local files of `target`.
pub async fn push(
    workspace: &Workspace,
    target: Target<'_>,
    options: &PushOptions,
) -> Result<TransferReport, OpsError> {
    let config = target.artifact.distribution.push.as_ref();
    let reference = &target.artifact.reference;
    let (backend, repository) = place(workspace, target, config)?;
    let files = local::files(target)?;
    let _operation = workspace.store.operation()?;
    let preflight = Preflight::new(repository.as_ref());
    preflight.ask_before_hashing(workspace, &files).await?;
    let source = Source::of(workspace, target, backend.as_ref(), repository.as_ref());
    let files = files.into_iter().map(|file| take_in(source, target, file));
    let files = files.collect::<Result<Vec<_>, OpsError>>()?;
    let bundle = describe::bundle(workspace, target, &files)?;
    if let Some(main) = bundle.main() {
        pvm::refuse_standard(workspace, target, &main.digest)?;
    }
    let mounts = match config {
        Some(BackendConfig::OciRegistry(_)) => Mounts::of(workspace, reference)?,
        // A control plane calls other repositories otherwise.
        _ => Mounts::default(),
    };
    let (bundled, mounted, packing) = (&bundle, &mounts, Arc::default());
    let encoder =
        Encoder { source, target, bundle: bundled, options, mounts: mounted, preflight: &preflight, packing };
    let encoded = encoder.encode().await?;
    let Recorded { documents, entry: named } = write_documents(workspace, &bundle, &encoded.stored)?;
    let manifest = named.digest.clone();
    let files = bundle.components.iter().zip(&encoded.stored);
    let files = files.flat_map(|(component, stored)| published(workspace, component, stored, &mounts));
    let publication = Publication {
        reference: reference.clone(),
        variant: target.variant(),
        files: files.collect(),
        documents,
    };
    let entry =
        Entry { bundle: &bundle, manifest: &publication.documents.manifest, strategy: options.strategy };
    // Asked before the manifest moves: a conflict leaves what is published as it is.
    published::check(backend.as_ref(), target, &entry).await?;
    workspace.note(format!("publishing manifest {manifest}"));
    let merge = |existing: Option<&Document>| entry.merge_words(existing);
    let mut bytes = encoded.moved + backend.push(&publication, &merge, workspace.reporter.as_ref()).await?;
    // Only now: a name in the store stands for what is published.
    workspace.store.tag(&target.name(), named)?;
    let cache_error = cache(workspace, target, &bundle);
    let size = publication.documents.manifest.len() as u64;
    let published = layout::Blob { digest: manifest.clone(), size };
    // The version is published, and complete without them.
    let delta_error = encoder.publish_deltas(&encoded, &published, &mut bytes).await.err();
    let delta_error = delta_error.map(|error| crate::error::chain(&error));
    if let Some(reason) = &delta_error {
        workspace.note(format!("published, but not all of its deltas: {reason}"));
    }
    let moved = Moved { stored: &encoded.stored, found: &encoded.found, bytes };
    Ok(TransferReport {
        cache_error,
        delta_error,
        ..report(target, backend.as_ref(), &bundle, manifest, moved)
    })
}

/// Where a push goes, and the same place as a registry where it is one for this push.
fn place(
    workspace: &Workspace,
    target: Target<'_>,
    config: Option<&BackendConfig>,
) -> Result<(Box<dyn Backend>, Option<Repository>), OpsError> {
    if let Some(face) = Face::to_push(workspace, target, config)? {
        return Ok((Box::new(face.backend), Some(face.repository)));
    }
    let repository = registry::repository(workspace, &target.artifact.reference, config, Reading::Origin)?;
    Ok((open(workspace, target, "push", config)?, repository))
}

/// Hashes a file on its way into the store, or where it lies if it goes there on its way out.
fn take_in(source: Source<'_>, target: Target<'_>, file: LocalFile) -> Result<HashedFile, OpsError> {
    let workspace = source.workspace;
    let size = fs::metadata(&file.path)?.len();
    if goes_out_as_it_is(source, target, file.kind, size) {
        return HashedFile::to_publish(workspace, file);
    }
    let blob = workspace.store.ingest_file(&file.path)?;
    Ok(HashedFile::stored(workspace, file.kind, file.name, blob))
}

/// Puts what was published into the cache; returns why not. The version is published, and a cache that is full or cannot be
/// written takes nothing of that back.
fn cache(workspace: &Workspace, target: Target<'_>, bundle: &Bundle) -> Option<String> {
    for component in &bundle.components {
        let path = target.cache_path(&component.file_name);
        if let Err(error) = workspace.store.share(&component.digest, component.size, &path) {
            let reason = crate::error::chain(&error);
            workspace.note(format!("warning: published, but not put into the cache: {reason}"));
            return Some(reason);
        }
    }
    None
}

/// Opens the configured backend of one direction.
pub(crate) fn open(
    workspace: &Workspace,
    target: Target<'_>,
    direction: &'static str,
    config: Option<&BackendConfig>,
) -> Result<Box<dyn Backend>, OpsError> {
    let artifact = target.artifact.name.clone();
    match config {
        None => Err(OpsError::NoBackend { artifact, direction }),
        Some(BackendConfig::FileSystem { root }) => Ok(Box::new(FileSystem::new(root))),
        Some(BackendConfig::OciRegistry(config)) => {
            let reading = match direction {
                "pull" => registry::Reading::MirrorsFirst,
                _ => registry::Reading::Origin,
            };
            Ok(Box::new(registry::backend(workspace, &target.artifact.reference, config, reading)?))
        }
        Some(BackendConfig::HostedApi { control_plane, .. }) => {
            Ok(Box::new(crate::hosted::backend(workspace, target, control_plane)?))
        }
    }
}

/// Writes the bundle's documents into the store and names them.
pub(crate) fn record(
    workspace: &Workspace,
    target: Target<'_>,
    bundle: &Bundle,
    stored: &[Stored],
) -> Result<(Documents, Digest), OpsError> {
    let Recorded { documents, entry } = write_documents(workspace, bundle, stored)?;
    let manifest = entry.digest.clone();
    workspace.store.tag(&target.name(), entry)?;
    Ok((documents, manifest))
}

/// Documents that are in the store, and what a name for them would lead to.
pub(crate) struct Recorded {
    documents: Documents,
    pub(crate) entry: layout::Descriptor,
}

pub(crate) fn write_documents(
    workspace: &Workspace,
    bundle: &Bundle,
    stored: &[Stored],
) -> Result<Recorded, OpsError> {
    let encoded = native::encode_stored(bundle, stored, digest_of)?;
    workspace.store.ingest_bytes("config", &encoded.config)?;
    let manifest = workspace.store.ingest_bytes("manifest", &encoded.manifest)?;
    let entry = native::index_entry(bundle, manifest.digest, manifest.size);
    Ok(Recorded { documents: Documents { manifest: encoded.manifest, config: encoded.config }, entry })
}

/// The blobs that a component is published as. All go under its name, which matters only where it is one.
fn published(
    workspace: &Workspace,
    component: &Component,
    stored: &Stored,
    mounts: &Mounts,
) -> Vec<PublishedFile> {
    let blobs = stored.blobs(component).into_iter();
    let file = |blob: layout::Blob| PublishedFile {
        name: component.file_name.clone(),
        path: workspace.store.blob_path(&blob.digest),
        elsewhere: mounts.get(&blob.digest).cloned(),
        digest: blob.digest,
        size: blob.size,
    };
    blobs.map(file).collect()
}

/// What is said of the components' way, in their order.
pub(crate) struct Moved<'a> {
    /// How they are published.
    pub(crate) stored: &'a [Stored],
    /// What of their files was there.
    pub(crate) found: &'a [Option<u64>],
    /// What was moved for all of them.
    pub(crate) bytes: u64,
}

pub(crate) fn report(
    target: Target<'_>,
    backend: &dyn Backend,
    bundle: &Bundle,
    manifest: Digest,
    moved: Moved<'_>,
) -> TransferReport {
    let place = |name: &FileName| backend.location(&target.artifact.reference, target.variant(), name);
    let ways = moved.stored.iter().zip(moved.found);
    let files = bundle.components.iter().zip(ways).map(|(component, (stored, found))| FileReport {
        local_path: target.local_path(component.kind, &component.file_name),
        store_path: place(&component.file_name),
        cache_path: target.cache_path(&component.file_name),
        bytes: component.size,
        digest: component.digest.clone(),
        encoding: stored.encoding(),
        published_bytes: stored.blobs(component).iter().map(|blob| blob.size).sum(),
        found_bytes: *found,
    });
    TransferReport {
        artifact: target.artifact.name.clone(),
        class: target.artifact.class,
        reference: target.artifact.reference.clone(),
        variant: target.variant(),
        backend: backend.describe(),
        manifest,
        files: files.collect(),
        bytes: bundle.size(),
        moved_bytes: moved.bytes,
        delta_error: None,
        cache_error: None,
    }
}
