//! Deltas: one blob that makes a version's file from an earlier version's, published as a referrer of the new manifest.
//!
//! Smaller than the packs that are new, since it is compressed with the earlier file at hand; of use only to those who
//! have that file. Whoever has none of the parents takes packs. Here is how a pull uses one; [`publish`] makes them.

pub(crate) mod publish;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use port_content::fs;
use port_layout::delta::{self, Offer};
use port_layout::{Blob, media_types};
use port_model::Event;
use port_packed::Plan;
use port_packed::delta::Known;
use port_registry::{ListLimit, TagOrDigest, download_task};

use super::local;
use super::pull::{Job, control};
use crate::copy::CopyError;
use crate::copy::side::from_registry;
use crate::error::OpsError;
use crate::source::claim;

/// Below this many bytes a delta is not looked for: asking costs more than it could save.
const WORTH_ASKING: u64 = 128 * 1024;

/// How much of a list of referrers is read for deltas: publishers make a few for each version, and what a registry lists
/// besides, or instead, is not worth a thousand requests.
pub(crate) const LOOKED_AT: ListLimit = ListLimit { pages: 8, entries: 2000 };

/// The smallest delta that starts at a file that lies here, if it takes fewer bytes than `plan`.
pub(super) async fn cheaper(job: &Job<'_>, plan: &Plan) -> Result<Option<Offer>, OpsError> {
    if plan.fetch < WORTH_ASKING {
        return Ok(None);
    }
    let kind = Some(media_types::PACKED_DELTA);
    let asked = job.repository.referrers_within(job.manifest, kind, LOOKED_AT).await;
    let entries: Vec<_> = match asked {
        Ok(found) => found.into_iter().map(from_registry).collect(),
        // A delta is a saving, not a need.
        Err(error) => {
            let reason = crate::error::chain(&error);
            job.source.workspace.note(format!("deltas cannot be listed, so packs are taken: {reason}"));
            return Ok(None);
        }
    };
    for offer in delta::offers(&entries, job.component) {
        if offer.size >= plan.fetch {
            break;
        }
        if parent(job, &offer)?.is_some() {
            return Ok(Some(offer));
        }
    }
    Ok(None)
}

fn parent(job: &Job<'_>, offer: &Offer) -> Result<Option<File>, OpsError> {
    if job.local_digest.as_ref() == Some(&offer.parent) {
        return Ok(Some(fs::open_regular(job.local)?.0));
    }
    local::open(job.source.workspace, &offer.parent, job.local)
}

/// The delta takes the place of what the plan would fetch.
fn say(job: &Job<'_>, plan: &Plan, task: &str, delta: &Blob) {
    job.source.workspace.reporter.event(Event::Planned {
        task: task.to_owned(),
        wanted: plan.wanted,
        found: plan.found,
        fetch: delta.size,
        transfers: vec![download_task(&delta.digest)],
    });
}

/// Fetches a delta and makes the component's file with it, in the store; returns the bytes moved.
pub(super) async fn apply(job: &Job<'_>, offer: &Offer, plan: &Plan) -> Result<u64, OpsError> {
    let name = TagOrDigest::Digest(offer.manifest.digest.clone());
    let manifest = job.repository.manifest(&name).await.map_err(CopyError::from)?;
    let read = delta::decode(&manifest.bytes)?;
    let wrong = |reason: &str| OpsError::WrongDelta {
        digest: offer.manifest.digest.clone(),
        reason: reason.to_owned(),
    };
    if &read.subject.digest != job.manifest || read.target != job.component.digest {
        return Err(wrong("it was made for another version"));
    }
    if read.parent != offer.parent || read.blob.size != offer.size {
        return Err(wrong("it says something else than the list of referrers"));
    }
    let task = format!("update {}", job.component.file_name);
    say(job, plan, &task, &read.blob);
    let made = make(job, offer, &read.blob, (&task, plan.wanted)).await;
    job.source.workspace.reporter.event(Event::Finished { task });
    let made = made?;
    job.source.workspace.note(format!(
        "{}: made from an earlier version with a delta of {} bytes",
        job.component.file_name, offer.size
    ));
    Ok(made + manifest.bytes.len() as u64)
}

/// Fetches the delta's blob and makes the file; returns the bytes moved.
async fn make(
    job: &Job<'_>,
    offer: &Offer,
    blob: &Blob,
    (task, wanted): (&str, u64),
) -> Result<u64, OpsError> {
    // Another process may be at the same: it is waited for, and the file that it made is taken.
    let _claim = claim(job.store(), &blob.digest).await?;
    if job.store().has_sound(&job.component.digest)? {
        return Ok(0);
    }
    let partial = job.store().partial_path(&blob.digest)?;
    let held = port_registry::Partial::wait(&partial).await?;
    let fetched = job.repository.blob_to_file(&blob.digest, blob.size, &held);
    fetched.await.map_err(CopyError::from)?;
    let parent = parent(job, offer)?.ok_or_else(|| OpsError::WrongDelta {
        digest: offer.manifest.digest.clone(),
        reason: "its parent is gone".to_owned(),
    })?;
    let (workspace, component) = (job.source.workspace, job.component.clone());
    workspace.reporter.event(Event::Started { task: task.to_owned(), total: Some(wanted) });
    let control = control(job.source, task, &Arc::new(AtomicBool::new(false)));
    let (store, path) = (job.store().clone(), partial.clone());
    let (digest, blob) = (offer.parent.clone(), blob.digest.clone());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let applying = tokio::task::spawn_blocking(move || {
        let (delta, _) = fs::open_regular(&path)?;
        let mut ingest = store.ingest(component.file_name.as_str())?;
        let parent = Known { file: &parent, digest: &digest };
        let made = port_packed::delta::apply(&delta, parent, ingest.file(), threads, &control)?;
        // What it made is what it says; that it says the right thing is checked here.
        if made.target_digest() != &component.digest || made.target_size() != component.size {
            return Err(OpsError::WrongDelta { digest: blob, reason: "it makes another file".to_owned() });
        }
        ingest.commit_hashed(&component.digest, component.size)?;
        Ok::<_, OpsError>(())
    });
    let applied = applying.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    applied?;
    held.forget()?;
    Ok(offer.size)
}
