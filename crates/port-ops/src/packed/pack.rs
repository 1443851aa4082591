//! Packing: a component's file becomes a map and packs in the store, and each pack goes out as soon as it is complete.
//!
//! ```text
//! a thread:  raw file ── frames ──► pack ─► store ─┐  one pack at most waits here
//! this task:                                       └─► registry
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use port_content::{fs, sparse};
use port_layout::Blob;
use port_layout::native::Stored;
use port_model::{Component, Event, Reference, Reporter};
use port_packed::{Control, Image, Options, Pack, PackSink, Packed, Step};
use port_registry::{BlobSource, BlobUpload, Pushed, Repository, names_of};
use port_store::{Ingest, Store, StoreError};
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::parent::Parent;
use crate::copy::CopyError;
use crate::error::OpsError;
use crate::mounts::Mounts;
use crate::workspace::Workspace;

/// What became of a component.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) stored: Stored,
    /// Bytes that went to the registry.
    pub(crate) moved: u64,
    /// Bytes of the file that the parent has.
    pub(crate) in_parent: u64,
}

/// Tells the thread to end when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Packs a component, whose file is at this path, and sends what is new.
///
/// A thread packs. It ends by itself soon after this is given up; until then it has `busy`.
pub(crate) async fn pack(
    workspace: &Workspace,
    (repository, mounts): (&Repository, &Mounts),
    (component, path): (&Component, &Path),
    parent: Option<Parent>,
    busy: OwnedMutexGuard<()>,
) -> Result<Outcome, OpsError> {
    let (sender, mut complete) = mpsc::channel(1);
    let (cancelled, untold) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(u64::MAX)));
    let job = Job {
        store: workspace.store.clone(),
        component: component.clone(),
        path: path.to_owned(),
        parent,
        control: control(workspace, component, &cancelled, &untold),
        untold,
    };
    let reporter = Arc::clone(&workspace.reporter);
    let stop = Stop(cancelled);
    let packing = tokio::task::spawn_blocking(move || {
        let _busy = busy;
        job.run(sender, reporter.as_ref())
    });
    let mut sent = Ok(0);
    while let Some(blob) = complete.recv().await {
        match upload(&workspace.store, repository, &blob, mounts.get(&blob.digest)).await {
            Ok(bytes) => sent = sent.map(|sum| sum + bytes),
            Err(error) => {
                sent = Err(error);
                drop(stop);
                break;
            }
        }
    }
    drop(complete);
    let packed = packing.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    if let Ok(packed) = &packed {
        workspace.reporter.event(facts(component, packed));
    }
    workspace.reporter.event(Event::Finished { task: task(component) });
    // What the registry said is the cause of a packing that was stopped.
    let moved = sent?;
    let packed = packed?;
    say(workspace, component, &packed);
    let map = workspace.store.ingest_bytes("map", &packed.map_bytes)?;
    let packs = packed.map.packs().iter();
    let stored = Stored::Packed {
        map: Blob { digest: map.digest, size: map.size },
        packs: packs.map(|pack| Blob { digest: pack.digest.clone(), size: pack.size() }).collect(),
    };
    Ok(Outcome { stored, moved, in_parent: bytes(packed.statistics.from_parent) })
}

fn task(component: &Component) -> String {
    format!("pack {}", component.file_name)
}

/// `untold` is what of the announced sum was not said yet: what packs anew looks at the image twice, which nobody knew before.
fn control(
    workspace: &Workspace,
    component: &Component,
    cancelled: &Arc<AtomicBool>,
    untold: &Arc<AtomicU64>,
) -> Control {
    let (reporter, task) = (Arc::clone(&workspace.reporter), task(component));
    let untold = Arc::clone(untold);
    let tell = move |step| {
        // What is compressed is a part of what was looked at, and comes right after it.
        if let Step::Scanned(bytes) = step {
            let told = untold
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(bytes)));
            let bytes = told.map_or(bytes, |left| left.min(bytes));
            reporter.event(Event::Advanced { task: task.clone(), bytes });
        }
    };
    Control::new(Arc::clone(cancelled), Arc::new(tell))
}

fn bytes(blocks: u64) -> u64 {
    blocks * port_packed::limit::BLOCK as u64
}

fn facts(component: &Component, packed: &Packed) -> Event {
    let found = packed.statistics;
    Event::Packed {
        task: task(component),
        data: bytes(found.data),
        in_parent: bytes(found.from_parent),
        new: bytes(found.new),
        stored: found.new_bytes,
    }
}

fn say(workspace: &Workspace, component: &Component, packed: &Packed) {
    let found = packed.statistics;
    workspace.note(format!(
        "{}: {} bytes of data, {} of them in the parent, {} new, packed to {}{}",
        component.file_name,
        bytes(found.data),
        bytes(found.from_parent),
        bytes(found.new),
        found.new_bytes,
        if found.repacked { "; the packs were due to be written anew" } else { "" },
    ));
}

/// Sends a blob of the store, which another publication at the same registry may have; returns the bytes that it took.
pub(crate) async fn upload(
    store: &Store,
    repository: &Repository,
    blob: &Blob,
    elsewhere: Option<&Reference>,
) -> Result<u64, OpsError> {
    upload_file(&store.blob_path(&blob.digest), repository, blob, elsewhere).await
}

/// As [`upload`], from a file that has the bytes of the blob; where it has not, the registry refuses them.
pub(crate) async fn upload_file(
    path: &Path,
    repository: &Repository,
    blob: &Blob,
    elsewhere: Option<&Reference>,
) -> Result<u64, OpsError> {
    let source = BlobSource::Path(path.to_owned());
    let mount_from = elsewhere.map(|reference| names_of(reference).1);
    let upload = BlobUpload { digest: blob.digest.clone(), size: blob.size, source, mount_from };
    let pushed = repository.push_blob(&upload).await.map_err(CopyError::from)?;
    Ok(if pushed == Pushed::Sent { blob.size } else { 0 })
}

/// What the thread needs.
struct Job {
    store: Store,
    component: Component,
    path: PathBuf,
    parent: Option<Parent>,
    control: Control,
    untold: Arc<AtomicU64>,
}

impl Job {
    fn run(self, complete: mpsc::Sender<Blob>, reporter: &dyn Reporter) -> Result<Packed, OpsError> {
        let Self { store, component, path, parent, control, untold } = self;
        let (file, metadata) = fs::open_regular(&path)?;
        if metadata.len() != component.size {
            return Err(StoreError::ChangedMeanwhile { path }.into());
        }
        let image = Image { file: &file, digest: Some(component.digest.clone()) };
        let parent_file = match &parent {
            Some(parent) => Some(store.open_blob(&parent.component.digest, parent.component.size)?),
            None => None,
        };
        // The parent is looked through first, to know its blocks again.
        let total = parent_file.iter().chain([&file]).map(sparse::data_bytes).sum::<io::Result<u64>>().ok();
        untold.store(total.unwrap_or(u64::MAX), Ordering::Relaxed);
        reporter.event(Event::Started { task: task(&component), total });
        let parent = parent.as_ref().zip(parent_file.as_ref());
        let parent = parent.map(|(parent, image)| port_packed::Parent { map: &parent.map, image });
        let mut sink = Sink { store: &store, current: None, complete };
        Ok(port_packed::pack(image, parent, &Options::default(), &control, &mut sink)?)
    }
}

/// Takes packs into the store and passes them on.
struct Sink<'a> {
    store: &'a Store,
    current: Option<Ingest<'a>>,
    complete: mpsc::Sender<Blob>,
}

impl PackSink for Sink<'_> {
    fn begin(&mut self) -> io::Result<()> {
        self.current = Some(self.store.ingest("a pack").map_err(io::Error::other)?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.current {
            Some(ingest) => io::Write::write_all(ingest.file(), bytes),
            None => Err(io::Error::other("a pack was written to before it began")),
        }
    }

    fn finish(&mut self, pack: &Pack) -> io::Result<()> {
        let Some(ingest) = self.current.take() else {
            return Err(io::Error::other("a pack ended before it began"));
        };
        let blob = ingest.commit_hashed(&pack.digest, pack.size()).map_err(io::Error::other)?;
        // Nobody listens after a failed upload, or when all is given up: then the control says so too.
        let _ = self.complete.blocking_send(Blob { digest: blob.digest, size: blob.size });
        Ok(())
    }
}
