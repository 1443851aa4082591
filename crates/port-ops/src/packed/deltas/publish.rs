//! Deltas for earlier versions, made and published after the new version is.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use port_content::hashing;
use port_layout::delta::{self, Delta};
use port_layout::native::Stored;
use port_layout::{Blob, media_types, port_v1};
use port_model::{Component, Digest, Event};
use port_packed::delta::{Known, Options};
use port_packed::{Control, LocalImage, Map, Step};
use port_registry::{BlobSource, BlobUpload, Failure, Repository};
use port_store::Store;

use crate::copy::CopyError;
use crate::copy::side::{from_registry, to_registry};
use crate::error::OpsError;
use crate::packed::deltas::LOOKED_AT;
use crate::packed::parent::{Parent, stored_versions};
use crate::packed::{local, map_of, pack};
use crate::source::Source;
use crate::workspace::Workspace;

/// What deltas are made for: one component of a version that is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) component: &'a Component,
    pub(crate) map: &'a Arc<Map>,
    /// The manifest that is published.
    pub(crate) manifest: &'a Blob,
}

/// From which earlier versions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parents<'a> {
    /// At most so many.
    pub(crate) count: usize,
    /// Before all others.
    pub(crate) first: Option<&'a Parent>,
}

/// Publishes deltas from earlier versions whose files are here; adds what went out to `moved`, also where it fails.
pub(crate) async fn publish(
    source: Source<'_>,
    repository: &Repository,
    target: Target<'_>,
    from: Parents<'_>,
    moved: &mut u64,
) -> Result<(), OpsError> {
    let parents = parents(source, target.component, from)?;
    if parents.is_empty() {
        return Ok(());
    }
    let Some(known) = published(source, repository, &target.manifest.digest).await else { return Ok(()) };
    // Those that are there count: a push that goes on where another was killed may have found another parent.
    let room = from.count.saturating_sub(known.len());
    let missing = parents.into_iter().filter(|parent| !known.contains(&parent.component.digest));
    for parent in missing.take(room) {
        let from = parent.component.digest.clone();
        let Some(blob) = encode(source, target, parent).await? else { continue };
        let delta = Delta {
            subject: target.manifest.clone(),
            parent: from,
            target: target.component.digest.clone(),
            file_name: target.component.file_name.clone(),
            blob,
        };
        *moved += send(source, repository, &delta).await?;
    }
    Ok(())
}

/// The parents for which there is a delta already; `None` where nobody would find one more.
async fn published(source: Source<'_>, repository: &Repository, manifest: &Digest) -> Option<Vec<Digest>> {
    match repository.referrers_within(manifest, Some(media_types::PACKED_DELTA), LOOKED_AT).await {
        Ok(found) => {
            let offers =
                found.into_iter().filter_map(|entry| delta::offer(&from_registry(entry)).ok().flatten());
            Some(offers.map(|offer| offer.parent).collect())
        }
        Err(error) if matches!(*error.failure, Failure::LongList { .. }) => {
            let reason = crate::error::chain(&error);
            source
                .workspace
                .note(format!("no deltas are published, since no pull would find them: {reason}"));
            None
        }
        Err(error) => {
            let reason = crate::error::chain(&error);
            source.workspace.note(format!("deltas cannot be listed, so they are published again: {reason}"));
            Some(Vec::new())
        }
    }
}

/// Earlier versions whose files and maps are here, nearest version first.
fn parents(
    source: Source<'_>,
    component: &Component,
    Parents { count, first }: Parents<'_>,
) -> Result<Vec<Parent>, OpsError> {
    let mut found: Vec<Parent> = first.cloned().into_iter().collect();
    found.retain(|parent| parent.component.digest != component.digest);
    let index = source.workspace.store.index()?;
    for reference in stored_versions(source)? {
        let name = reference.variant_name(source.variant);
        let entry = port_layout::index::find(&index, &name);
        let Some(decoded) = entry.and_then(|entry| local::decoded(source.workspace, entry)) else { continue };
        for (other, stored) in decoded.bundle.components.into_iter().zip(decoded.stored) {
            let Stored::Packed { map, packs } = stored else { continue };
            let known = found.iter().any(|parent| parent.component.digest == other.digest);
            if other.kind != component.kind || other.digest == component.digest || known {
                continue;
            }
            // One that is not whole is none.
            let Ok(map) = map_of(source.workspace, &other, &map, &packs) else { continue };
            if source.workspace.store.has_sound(&other.digest)? {
                found.push(Parent { name: name.clone(), component: other, map: Arc::new(map) });
            }
        }
    }
    found.truncate(count);
    Ok(found)
}

/// Makes a delta in the store; `None` where packs would take no more.
async fn encode(source: Source<'_>, target: Target<'_>, parent: Parent) -> Result<Option<Blob>, OpsError> {
    let workspace = source.workspace;
    let name = parent.name.clone();
    let task = format!("delta from {}", name.rsplit(':').next().unwrap_or(&name));
    workspace.reporter.event(Event::Started { task: task.clone(), total: None });
    let (store, component, map) = (workspace.store.clone(), target.component.clone(), Arc::clone(target.map));
    let control = control(workspace, &task);
    let encoding = tokio::task::spawn_blocking(move || make(&store, &component, &map, parent, &control));
    let encoded = encoding.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    workspace.reporter.event(Event::Finished { task });
    let blob = encoded?;
    workspace.note(match &blob {
        Some(blob) => format!("delta from {name}: {} bytes", blob.size),
        None => format!("no delta from {name}: packs take no more"),
    });
    Ok(blob)
}

/// Progress counts what is compressed; how much that will be nobody knows before.
fn control(workspace: &Workspace, task: &str) -> Control {
    let (reporter, task) = (Arc::clone(&workspace.reporter), task.to_owned());
    let tell = move |step| {
        if let Step::Compressed { plain, .. } = step {
            reporter.event(Event::Advanced { task: task.clone(), bytes: plain });
        }
    };
    Control::new(Arc::new(AtomicBool::new(false)), Arc::new(tell))
}

fn make(
    store: &Store,
    component: &Component,
    map: &Arc<Map>,
    parent: Parent,
    control: &Control,
) -> Result<Option<Blob>, OpsError> {
    let from = Arc::new(store.open_blob(&parent.component.digest, parent.component.size)?);
    let to = store.open_blob(&component.digest, component.size)?;
    let image = LocalImage { map: parent.map, image: Arc::clone(&from) };
    // What whoever has the parent would fetch without a delta.
    let packs = port_packed::plan(map, vec![image], &|_| false).fetch;
    let options = Options { limit: packs.min(delta::LARGEST_DELTA), ..Options::default() };
    let from = Known { file: &from, digest: &parent.component.digest };
    let to = Known { file: &to, digest: &component.digest };
    let mut scratch = store.ingest("a delta's frames")?;
    let mut ingest = store.ingest("a delta")?;
    let made = port_packed::delta::encode(from, to, scratch.file(), ingest.file(), &options, control)?;
    let Some(made) = made else { return Ok(None) };
    let blob = ingest.commit_hashed(&made.digest, made.size)?;
    Ok(Some(Blob { digest: blob.digest, size: blob.size }))
}

async fn send(source: Source<'_>, repository: &Repository, delta: &Delta) -> Result<u64, OpsError> {
    let mut moved = pack::upload(&source.workspace.store, repository, &delta.blob, None).await?;
    let config = Bytes::from_static(port_v1::EMPTY_CONFIG);
    let upload = BlobUpload {
        digest: hashing::digest_of(&config),
        size: config.len() as u64,
        source: BlobSource::Bytes(config),
        mount_from: None,
    };
    repository.push_blob(&upload).await.map_err(CopyError::from)?;
    let bytes = delta::encode(delta)?;
    let manifest = Blob { digest: hashing::digest_of(&bytes), size: bytes.len() as u64 };
    let entry = to_registry(&delta::index_entry(delta, &manifest));
    moved += bytes.len() as u64;
    let bytes = Bytes::from(bytes);
    repository.put_referrer(&delta.subject.digest, &entry, &bytes).await.map_err(CopyError::from)?;
    Ok(moved)
}
