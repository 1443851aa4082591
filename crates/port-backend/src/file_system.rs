//! A directory as a backend (acceptance P-37, P-44, docs/formats/paths.md).
//!
//! ```text
//! <root>/<registry>/<repository>/<version>/<arch>/<substrate>/<mode>/
//!    vmlinux              the file, exactly as published; holes stay holes
//!    vmlinux.sha256       its digest, for `sha256sum -c`
//!    .vmlinux.blocks      what its blocks are, so that readers fetch only those that they lack
//!    .manifest.json       the OCI manifest of the variant
//!    .config.json         the config that it names
//! ```
//!
//! The last directory belongs to the backend. A push prepares a new one beside it and swaps it in whole, so
//! that a file, its side-car and its companions always belong together. A directory that another tool
//! filled has no side-cars or documents; it is read all the same, with digests unknown.

mod fetch;
mod index_file;
mod predecessor;
mod publish;
mod published;

use std::fs::File;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use port_content::atomic::{self, AtomicDir};
use port_content::{FsError, fs, sparse};
use port_model::{Event, FileName, Reference, Reporter, Variant};
use tokio::sync::mpsc;

use crate::backend::{Backend, Check, Fetched, Found, FoundFile, MergeIndex, Publication};
use crate::error::{BackendError, ErrorKind};

const MANIFEST: &str = ".manifest.json";
const CONFIG: &str = ".config.json";

/// See the module.
#[derive(Debug, Clone)]
pub struct FileSystem {
    root: PathBuf,
}

impl FileSystem {
    /// The directory at `root`; it is made by the first push.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn directory(&self, reference: &Reference, variant: Variant) -> PathBuf {
        self.root.join(reference.variant_directory(variant))
    }

    /// A published file, open, and the directory that it is in.
    fn open(
        &self,
        reference: &Reference,
        variant: Variant,
        file: &FoundFile,
    ) -> Result<(File, PathBuf), BackendError> {
        let directory = self.directory(reference, variant);
        let opened = fs::open_regular_itself(&directory.join(&file.name));
        let (source, _) = opened.map_err(failed(format!("open `{}`", file.name), &directory))?;
        Ok((source, directory))
    }
}

fn failed(operation: impl Into<String>, directory: &Path) -> impl FnOnce(FsError) -> BackendError {
    let (operation, location) = (operation.into(), directory.display().to_string());
    move |source| {
        let kind = match source.source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Failed,
        };
        BackendError::new(kind, location, operation, source)
    }
}

/// Runs work off the async threads; it begins at once.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
    let working = tokio::task::spawn_blocking(work);
    async { working.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) }
}

/// Runs work off the async threads and passes on what it says.
async fn heard<T: Send + 'static>(
    reporter: &dyn Reporter,
    work: impl FnOnce(&mut (dyn FnMut(Event) + Send)) -> T + Send + 'static,
) -> T {
    let (sender, mut said) = mpsc::unbounded_channel();
    let working = blocking(move || {
        work(&mut |event| {
            // Nobody listens any more where the caller has gone; the work goes with it.
            let _ = sender.send(event);
        })
    });
    while let Some(event) = said.recv().await {
        reporter.event(event);
    }
    working.await
}

/// Runs a copy and reports how far it got. `work` is given a function to tell bytes to.
async fn copying<T: Send + 'static>(
    task: String,
    total: u64,
    reporter: &dyn Reporter,
    work: impl FnOnce(&mut (dyn FnMut(u64) + Send)) -> T + Send + 'static,
) -> T {
    reporter.event(Event::Started { task: task.clone(), total: Some(total) });
    let name = task.clone();
    let result =
        heard(reporter, move |say| work(&mut |bytes| say(Event::Advanced { task: name.clone(), bytes })))
            .await;
    reporter.event(Event::Finished { task });
    result
}

/// Runs a fetch that knows what it will find here, and reports both what is in its place and what was fetched of it.
async fn assembling(
    name: &FileName,
    outlook: fetch::Outlook,
    prepared: fetch::Prepared,
    reporter: &dyn Reporter,
) -> Result<Fetched, FsError> {
    let fetch::Outlook { wanted, found } = outlook;
    let (whole, part) = (format!("assemble {name}"), format!("fetch {name}"));
    let fetch = wanted.saturating_sub(found);
    let (task, transfers) = (whole.clone(), vec![part.clone()]);
    reporter.event(Event::Planned { task, wanted, found, fetch, transfers });
    for (task, total) in [(&whole, wanted), (&part, fetch)] {
        reporter.event(Event::Started { task: task.clone(), total: Some(total) });
    }
    let tasks = (whole.clone(), part.clone());
    let result = heard(reporter, move |say| {
        prepared.run(&mut |copied| {
            say(Event::Advanced { task: tasks.1.clone(), bytes: copied.moved });
            say(Event::Advanced { task: tasks.0.clone(), bytes: copied.bytes() });
        })
    })
    .await;
    for task in [part, whole] {
        reporter.event(Event::Finished { task });
    }
    result
}

#[async_trait]
impl Backend for FileSystem {
    fn describe(&self) -> String {
        format!("file-system {}", self.root.display())
    }

    fn location(&self, reference: &Reference, variant: Variant, file: &FileName) -> String {
        self.directory(reference, variant).join(file).display().to_string()
    }

    async fn push(
        &self,
        publication: &Publication,
        // Directories are their own index.
        _: MergeIndex<'_>,
        reporter: &dyn Reporter,
    ) -> Result<u64, BackendError> {
        let directory = self.directory(&publication.reference, publication.variant);
        let error = |operation: &str| failed(operation.to_owned(), &directory);
        let next = AtomicDir::create(&directory).map_err(error("publish"))?;
        let mut bytes = 0;
        for file in &publication.files {
            let (published, to) = (file.clone(), next.path().to_owned());
            let (root, reference) = (self.root.clone(), publication.reference.clone());
            let variant = publication.variant;
            let task = format!("publish {}", file.name);
            let copy = copying(task, file.size, reporter, move |tell| {
                let candidates = predecessor::candidates(&root, &reference, variant, &published.name);
                publish::put(&published, &to, &candidates, tell)
            });
            let publish::Put { digest: found, moved, .. } = copy.await.map_err(error("publish"))?;
            if found != file.digest {
                let operation = format!("publish `{}`", file.name);
                let reason = format!("its bytes changed: expected {}, found {found}", file.digest);
                let location = directory.display().to_string();
                return Err(BackendError::new(ErrorKind::Corrupt, location, operation, reason));
            }
            bytes += moved;
        }
        let documents = &publication.documents;
        atomic::write(&next.path().join(MANIFEST), &documents.manifest).map_err(error("publish"))?;
        atomic::write(&next.path().join(CONFIG), &documents.config).map_err(error("publish"))?;
        next.commit().map_err(error("publish"))?;
        atomic::sweep_beside(&directory).map_err(error("tidy up beside"))?;
        Ok(bytes)
    }

    async fn resolve(&self, reference: &Reference, variant: Variant) -> Result<Found, BackendError> {
        published::find(&self.directory(reference, variant))
    }

    async fn fetch(
        &self,
        reference: &Reference,
        variant: Variant,
        file: &FoundFile,
        seeds: &[PathBuf],
        target: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Fetched, BackendError> {
        let (source, directory) = self.open(reference, variant, file)?;
        let error = || failed(format!("fetch `{}`", file.name), &directory);
        let task = format!("fetch {}", file.name);
        let Some(digest) = file.digest.clone() else {
            let copied = fs::create_scratch(target).map_err(error())?;
            let path = target.to_owned();
            let copy = move |tell: &mut (dyn FnMut(u64) + Send)| {
                let moved = fs::Context::context(sparse::data_bytes(&source), "read", &path)?;
                sparse::copy_telling(&source, &copied, &path, tell)?;
                Ok(moved)
            };
            let moved = copying(task, file.size, reporter, copy).await.map_err(error())?;
            return Ok(Fetched { check: Check::Callers, moved, found: 0 });
        };
        let (name, seeds, target) = (file.name.clone(), seeds.to_vec(), target.to_owned());
        let wanted = fetch::Wanted { source, directory: directory.clone(), name, digest, seeds, target };
        let prepared = blocking(move || wanted.prepare()).await.map_err(error())?;
        let fetched = match prepared.outlook() {
            Some(outlook) => assembling(&file.name, outlook, prepared, reporter).await,
            None => {
                let work =
                    move |tell: &mut (dyn FnMut(u64) + Send)| prepared.run(&mut |copied| tell(copied.moved));
                copying(task, file.size, reporter, work).await
            }
        };
        fetched.map_err(error())
    }

    fn forget(&self, target: &Path) -> Result<(), BackendError> {
        fetch::forget(target).map_err(failed("tidy up", target))
    }
}
