//! A packed component comes into the store, the cheapest way from what lies here.
//!
//! ```text
//! map ─► plan with the images and packs that lie here ─► less with a delta? ─► delta ─► apply ─┐
//!                       │ no                                                                   ├─► file in the store
//!                       └► packs, ranges of packs ── each one as it arrives ──► assemble ──────┘
//! ```
//!
//! Every frame and the whole file are verified by port-packed. What lies here and turns out to be damaged is left out, and the
//! pull goes on with what the registry has.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, stream};
use port_content::fs;
use port_content::lock::Claim;
use port_layout::Blob;
use port_model::{Component, Digest, Event};
use port_packed::{Assembler, Control, Map, PackPlan, Plan, Source as Way, Step};
use port_registry::{Repository, download_task};
use port_store::Store;
use tokio::sync::mpsc;

use super::local::{self, Known};
use super::{deltas, map_of};
use crate::error::OpsError;
use crate::source::{Brought, Source, claim};

/// Packs that are fetched at the same time, and that wait for being decoded: a small one is mostly waiting for an answer.
const FETCHED_AT_ONCE: usize = 3;

/// Brings the component's file into the store.
pub(crate) async fn bring(
    source: &Source<'_>,
    component: &Component,
    map: &Blob,
    packs: &[Blob],
    manifest: &Digest,
    local: &Path,
) -> Result<Brought, OpsError> {
    let repository = source.repository.ok_or_else(|| OpsError::PackedElsewhere {
        name: source.reference.variant_name(source.variant),
        backend: source.backend.describe(),
    })?;
    let moved = source.blob(component, map).await?;
    let map = Arc::new(map_of(source.workspace, component, map, packs)?);
    let mut job = Job { source, repository, component, manifest, local, local_digest: None, map };
    if job.look_at_local()? {
        return Ok(Brought { moved, found: component.size });
    }
    let first = job.attempt().await;
    let again = match first {
        Err(OpsError::Packed(error)) if error.is_damage() => {
            source
                .workspace
                .note(format!("{error}; everything that was used is checked, then fetched again"));
            job.distrust().await?;
            // Nor is any image used again, whose map may lie about it, nor the local file, which the store cannot read again
            // for us: packs are verified frame by frame.
            (job.local, job.local_digest) = (Path::new(""), None);
            let moved = job.packs_alone().await?;
            Ok(Brought { moved, found: 0 })
        }
        other => other,
    };
    let again = again?;
    Ok(Brought { moved: moved + again.moved, ..again })
}

/// A pack whose frames can be read.
struct Arrived {
    pack: usize,
    path: PathBuf,
    /// Where it is a part only: kept until it was read, since another process would complete it and take it to its place.
    claim: Option<Claim>,
}

/// One component that is wanted.
pub(super) struct Job<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) repository: &'a Repository,
    pub(super) component: &'a Component,
    /// The manifest that describes it.
    pub(super) manifest: &'a Digest,
    /// Where the component is locally, in this version or another.
    pub(super) local: &'a Path,
    /// Of what lies there, where the store knew nothing that gives blocks.
    pub(super) local_digest: Option<Digest>,
    map: Arc<Map>,
}

impl Job<'_> {
    pub(super) fn store(&self) -> &Store {
        &self.source.workspace.store
    }

    /// Reads the local file where the store has nothing that helps, as when the store was removed: it may be the version
    /// that is wanted, or the parent of a delta. Says whether it is the one that is wanted, which is in the store then.
    fn look_at_local(&mut self) -> Result<bool, OpsError> {
        let (store, local) = (self.store(), self.local);
        let unknown = fs::metadata(local).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
            && store.known_digest(local).is_none();
        if !unknown || self.map.packs().iter().all(|pack| store.has(&pack.digest)) {
            return Ok(false);
        }
        if !local::images(self.source, &self.map, local)?.is_empty() {
            return Ok(false);
        }
        let (digest, _) = store.digest_of_file(local)?;
        if digest == self.component.digest {
            store.ingest_file(local)?;
            return Ok(store.has_sound(&digest)?);
        }
        self.local_digest = Some(digest);
        Ok(false)
    }

    async fn attempt(&self) -> Result<Brought, OpsError> {
        let images = local::images(self.source, &self.map, self.local)?;
        let plan = self.plan(&images)?;
        let found = plan.found;
        if let Some(offer) = deltas::cheaper(self, &plan).await? {
            match deltas::apply(self, &offer, &plan).await {
                Ok(moved) => return Ok(Brought { moved, found }),
                Err(error) => {
                    let reason = crate::error::chain(&error);
                    self.source
                        .workspace
                        .note(format!("the delta {} is left out: {reason}", offer.manifest.digest));
                }
            }
        }
        self.say(&plan, &images);
        Ok(Brought { moved: self.assemble(plan).await?, found })
    }

    async fn packs_alone(&self) -> Result<u64, OpsError> {
        let plan = self.plan(&[])?;
        self.say(&plan, &[]);
        self.assemble(plan).await
    }

    fn plan(&self, images: &[Known]) -> Result<Plan, OpsError> {
        let mut here = Vec::new();
        for pack in self.map.packs() {
            if self.store().has_sound(&pack.digest)? {
                here.push(&pack.digest);
            }
        }
        let images = images.iter().map(|known| known.image.clone()).collect();
        Ok(port_packed::plan(&self.map, images, &|pack| here.contains(&&pack.digest)))
    }

    fn say(&self, plan: &Plan, images: &[Known]) {
        let (workspace, name) = (self.source.workspace, self.component.file_name.to_string());
        let (wanted, found, fetch) = (plan.wanted, plan.found, plan.fetch);
        let fetched = plan.packs.iter().filter(|pack| pack.fetch() > 0);
        let transfers = fetched.map(|pack| download_task(&pack.digest)).collect();
        let task = format!("assemble {name}");
        workspace.reporter.event(Event::Planned { task, wanted, found, fetch, transfers });
        let from: Vec<&str> = images.iter().map(|known| known.name.as_str()).collect();
        if !from.is_empty() {
            workspace.note(format!(
                "{name}: {found} of {wanted} bytes are here ({}), {fetch} bytes are fetched",
                from.join(", ")
            ));
        }
    }

    /// Fetches what the plan names; a thread assembles meanwhile.
    async fn assemble(&self, plan: Plan) -> Result<u64, OpsError> {
        let task = format!("assemble {}", self.component.file_name);
        let reporter = Arc::clone(&self.source.workspace.reporter);
        reporter.event(Event::Started { task: task.clone(), total: Some(plan.wanted) });
        let cancelled = Arc::new(AtomicBool::new(false));
        let control = control(self.source, &task, &cancelled);
        let plan = Arc::new(plan);
        let (arrived, arriving) = mpsc::channel(FETCHED_AT_ONCE);
        let work = {
            let (store, component, plan) = (self.store().clone(), self.component.clone(), Arc::clone(&plan));
            move || assemble(&store, &component, plan, arriving, &control)
        };
        let assembling = tokio::task::spawn_blocking(work);
        let fetched = self.fetch_all(&plan, &arrived, &cancelled).await;
        drop(arrived);
        let assembled =
            assembling.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        reporter.event(Event::Finished { task });
        match (fetched, assembled) {
            // Without the packs the assembly stops, too: what stopped the fetching is the cause.
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(moved), Ok(())) => Ok(moved),
        }
    }

    async fn fetch_all(
        &self,
        plan: &Plan,
        arrived: &mpsc::Sender<Arrived>,
        cancelled: &AtomicBool,
    ) -> Result<u64, OpsError> {
        let mut moved = 0;
        let fetches = stream::iter(&plan.packs).map(|pack| self.fetch(pack));
        let mut fetches = std::pin::pin!(fetches.buffer_unordered(FETCHED_AT_ONCE));
        while let Some(fetched) = fetches.next().await {
            let (here, bytes) = fetched.inspect_err(|_| {
                cancelled.store(true, Ordering::Relaxed);
            })?;
            moved += bytes;
            if arrived.send(here).await.is_err() {
                // The assembly ended early and says why.
                break;
            }
        }
        Ok(moved)
    }

    /// Brings what is needed of one pack; returns it and the bytes moved.
    async fn fetch(&self, pack: &PackPlan) -> Result<(Arrived, u64), OpsError> {
        let store = self.store();
        let whole = Arrived { pack: pack.pack, path: store.blob_path(&pack.digest), claim: None };
        match pack.source {
            Way::Here => Ok((whole, 0)),
            Way::Whole => {
                let blob = Blob { digest: pack.digest.clone(), size: pack.size };
                let moved = self.source.blob(self.component, &blob).await?;
                Ok((whole, moved))
            }
            Way::Ranges => {
                let claim = claim(store, &pack.digest).await?;
                if store.has_sound(&pack.digest)? {
                    return Ok((whole, 0));
                }
                let partial = store.partial_path(&pack.digest)?;
                let held = port_registry::Partial::wait(&partial).await?;
                let fetched = self.repository.fetch_ranges(&pack.digest, pack.size, &pack.ranges, &held);
                fetched.await.map_err(|error| self.source.lost(&pack.digest, error))?;
                Ok((Arrived { pack: pack.pack, path: partial, claim: Some(claim) }, pack.fetch()))
            }
        }
    }

    /// Reads again everything that an attempt used, so that what is damaged is gone at the next.
    async fn distrust(&self) -> Result<(), OpsError> {
        let store = self.store();
        for known in local::images(self.source, &self.map, self.local)? {
            store.check_blob(&known.component.digest)?;
        }
        for pack in self.map.packs() {
            let _claim = claim(store, &pack.digest).await?;
            store.check_blob(&pack.digest)?;
            port_registry::forget_partial(&store.partial_path(&pack.digest)?)?;
        }
        Ok(())
    }
}

/// Progress counts what is in its place, wherever it came from.
pub(super) fn control(source: &Source<'_>, task: &str, cancelled: &Arc<AtomicBool>) -> Control {
    let (reporter, task) = (Arc::clone(&source.workspace.reporter), task.to_owned());
    let tell = move |step| {
        if let Step::Copied(bytes) | Step::Decoded(bytes) = step {
            reporter.event(Event::Advanced { task: task.clone(), bytes });
        }
    };
    Control::new(Arc::clone(cancelled), Arc::new(tell))
}

/// Runs on a thread of its own.
fn assemble(
    store: &Store,
    component: &Component,
    plan: Arc<Plan>,
    mut arriving: mpsc::Receiver<Arrived>,
    control: &Control,
) -> Result<(), OpsError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut ingest = store.ingest(component.file_name.as_str())?;
    let assembler = Assembler::new(plan, ingest.file(), threads, control)?;
    assembler.copy_local()?;
    while let Some(Arrived { pack, path, claim }) = arriving.blocking_recv() {
        let (file, _): (File, _) = fs::open_regular(&path)?;
        assembler.add_pack(pack, &file)?;
        drop(claim);
    }
    assembler.finish()?;
    drop(assembler);
    ingest.commit_hashed(&component.digest, component.size)?;
    Ok(())
}
