//! A directory as a backend (acceptance P-37, P-44, docs/formats/paths.md).
//!
//! ```text
//! <root>/<registry>/<repository>/<version>/<arch>/<substrate>/<mode>/
//!    vmlinux              the file, exactly as published; holes stay holes
//!    vmlinux.sha256       its digest, for `sha256sum -c`
//!    .manifest.json       the OCI manifest of the variant
//!    .config.json         the config that it names
//! ```
//!
//! The last directory belongs to the backend. A push prepares a new one beside it and swaps it in whole, so
//! that a file, its side-car and its companions always belong together. A directory that another tool
//! filled has no side-cars or documents; it is read all the same, with digests unknown.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use port_content::atomic::{self, AtomicDir, AtomicFile};
use port_content::{FsError, fs, limit, sparse};
use port_model::{Digest, Event, FileName, Reference, Reporter, Variant};
use tokio::sync::mpsc;

use crate::backend::{Backend, Documents, Fetched, Found, FoundFile, Publication, PublishedFile};
use crate::error::{BackendError, ErrorKind};
use crate::sidecar;

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

/// Runs a copy off the async threads and reports how far it got. `work` is given a function to tell bytes to.
async fn copying<T: Send + 'static>(
    task: String,
    total: u64,
    reporter: &dyn Reporter,
    work: impl FnOnce(&mut dyn FnMut(u64)) -> T + Send + 'static,
) -> T {
    reporter.event(Event::Started { task: task.clone(), total: Some(total) });
    let (sender, mut told) = mpsc::unbounded_channel();
    let copy = tokio::task::spawn_blocking(move || {
        work(&mut |bytes| {
            // Nobody listens any more where the caller has gone; the copy goes with it.
            let _ = sender.send(bytes);
        })
    });
    while let Some(bytes) = told.recv().await {
        reporter.event(Event::Advanced { task: task.clone(), bytes });
    }
    let result = match copy.await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    reporter.event(Event::Finished { task });
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

    async fn push(&self, publication: &Publication, reporter: &dyn Reporter) -> Result<u64, BackendError> {
        let directory = self.directory(&publication.reference, publication.variant);
        let error = |operation: &str| failed(operation.to_owned(), &directory);
        let next = AtomicDir::create(&directory).map_err(error("publish"))?;
        let mut bytes = 0;
        for file in &publication.files {
            let (published, to) = (file.clone(), next.path().to_owned());
            let task = format!("publish {}", file.name);
            let copy = copying(task, file.size, reporter, move |tell| put(&published, &to, tell));
            let (found, size) = copy.await.map_err(error("publish"))?;
            if found != file.digest {
                let operation = format!("publish `{}`", file.name);
                let reason = format!("its bytes changed: expected {}, found {found}", file.digest);
                let location = directory.display().to_string();
                return Err(BackendError::new(ErrorKind::Corrupt, location, operation, reason));
            }
            bytes += size;
        }
        let documents = &publication.documents;
        atomic::write(&next.path().join(MANIFEST), &documents.manifest).map_err(error("publish"))?;
        atomic::write(&next.path().join(CONFIG), &documents.config).map_err(error("publish"))?;
        next.commit().map_err(error("publish"))?;
        atomic::sweep_beside(&directory).map_err(error("tidy up beside"))?;
        Ok(bytes)
    }

    async fn resolve(&self, reference: &Reference, variant: Variant) -> Result<Found, BackendError> {
        find(&self.directory(reference, variant))
    }

    async fn fetch(
        &self,
        reference: &Reference,
        variant: Variant,
        file: &FoundFile,
        target: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Fetched, BackendError> {
        let (source, directory) = self.open(reference, variant, file)?;
        let error = |operation: &str| failed(format!("{operation} `{}`", file.name), &directory);
        let copied = fs::create_scratch(target).map_err(error("fetch"))?;
        let path = target.to_owned();
        let task = format!("fetch {}", file.name);
        let copy = move |tell: &mut dyn FnMut(u64)| sparse::copy_telling(&source, &copied, &path, tell);
        copying(task, file.size, reporter, copy).await.map_err(error("fetch"))?;
        Ok(Fetched::Unchecked)
    }

    async fn fetch_ranges(
        &self,
        reference: &Reference,
        variant: Variant,
        file: &FoundFile,
        ranges: &[Range<u64>],
        target: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Fetched, BackendError> {
        let (source, directory) = self.open(reference, variant, file)?;
        let error = || failed(format!("fetch ranges of `{}`", file.name), &directory);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(error())?;
        }
        let partial = fs::open_writable(target).map_err(error())?;
        let (path, ranges) = (target.to_owned(), ranges.to_vec());
        let total = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let task = format!("fetch {}", file.name);
        let copy =
            move |tell: &mut dyn FnMut(u64)| sparse::copy_ranges(&source, &partial, &path, &ranges, tell);
        copying(task, total, reporter, copy).await.map_err(error())?;
        Ok(Fetched::Unchecked)
    }
}

/// Copies one file and its side-car into `directory`.
///
/// Returns the digest and size of what lies there now.
fn put(file: &PublishedFile, directory: &Path, tell: &mut dyn FnMut(u64)) -> Result<(Digest, u64), FsError> {
    let (source, _) = fs::open_regular(&file.path)?;
    let mut target = AtomicFile::create(&directory.join(&file.name))?;
    let path = target.path().to_owned();
    sparse::copy_telling(&source, target.file(), &path, tell)?;
    let copied = fs::Context::context(sparse::digest(target.file()), "read", &path)?;
    target.commit()?;
    let sidecar = directory.join(format!("{}{}", file.name, sidecar::SUFFIX));
    atomic::write(&sidecar, sidecar::render(&file.digest, &file.name).as_bytes())?;
    Ok(copied)
}

fn find(directory: &Path) -> Result<Found, BackendError> {
    let mut files = Vec::new();
    let nothing = || {
        let (location, operation) = (directory.display().to_string(), "find a published variant");
        BackendError::new(ErrorKind::NotFound, location, operation, "nothing is published there")
    };
    let Some(paths) = optional(directory, fs::read_dir(directory))? else { return Err(nothing()) };
    for path in paths {
        // Hidden files and side-cars are ours or nobody's; a name that could not be published was not.
        let Ok(name) = FileName::of_path(&path) else { continue };
        // A link or device was not published: what it leads to is nobody's to hand out.
        let metadata = fs::symlink_metadata(&path).map_err(failed("look at what is published", directory))?;
        if metadata.is_file() && !name.as_str().ends_with(sidecar::SUFFIX) {
            files.push(FoundFile { digest: digest_beside(directory, &path)?, size: metadata.len(), name });
        }
    }
    if files.is_empty() {
        return Err(nothing());
    }
    Ok(Found { files, documents: documents(directory)? })
}

fn digest_beside(directory: &Path, path: &Path) -> Result<Option<Digest>, BackendError> {
    let mut sidecar = path.as_os_str().to_owned();
    sidecar.push(sidecar::SUFFIX);
    let Some(text) = optional(directory, fs::read_to_string(Path::new(&sidecar), limit::RECORD))? else {
        return Ok(None);
    };
    sidecar::parse(&text).map(Some).map_err(|source| {
        let operation = format!("read the side-car `{}`", Path::new(&sidecar).display());
        BackendError::new(ErrorKind::Corrupt, directory.display().to_string(), operation, source)
    })
}

fn documents(directory: &Path) -> Result<Option<Documents>, BackendError> {
    let read = |name: &str| optional(directory, fs::read(&directory.join(name), limit::DOCUMENT));
    match (read(MANIFEST)?, read(CONFIG)?) {
        (Some(manifest), Some(config)) => Ok(Some(Documents { manifest, config })),
        (None, None) => Ok(None),
        (manifest, _) => {
            let absent = if manifest.is_some() { CONFIG } else { MANIFEST };
            let location = directory.display().to_string();
            let reason = format!("`{absent}` is gone although the other document is there");
            Err(BackendError::new(ErrorKind::Corrupt, location, "read the documents", reason))
        }
    }
}

fn optional<T>(directory: &Path, result: Result<T, FsError>) -> Result<Option<T>, BackendError> {
    match result {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some).map_err(failed("read", directory)),
    }
}
