//! A blob into a file: resumed where an earlier process was killed, over several connections, checked as a whole.
//!
//! CRASH: the partial file and its journal stay whatever happens; a rerun with the same path repeats at most one part
//! per connection. They go only when the bytes turned out wrong, so that the next try starts clean, or when the caller,
//! having moved the file to its place, calls [`forget_partial`].

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::try_join_all;
use port_content::fs::{self, Context as _, FsError};
use port_content::hashing::Hasher;
use port_content::verify::{self, Mismatch};
use port_model::Digest;
use reqwest::Method;
use tokio::sync::{Notify, watch};

use crate::auth::Scopes;
use crate::error::Failure;
use crate::host::Host;
use crate::locked;
use crate::name::RepositoryName;
use crate::pull::follower::Follower;
use crate::pull::journal::Journal;
use crate::pull::manifest::refuse_encoding;
use crate::pull::plan::Plan;
use crate::pull::worker::Download;
use crate::request::Call;
use crate::request::body::Progress;

/// Removes a partial download and its journal. Absent ones are fine.
///
/// # Errors
/// [`FsError`] naming the file that stays.
pub fn forget_partial(path: &Path) -> Result<(), FsError> {
    fs::remove_file(&Journal::path_of(path))?;
    fs::remove_file(path)
}

/// How often a blob is fetched whose bytes turn out wrong: a flipped bit passes, a registry that lies does not.
const FETCHES: u32 = 2;

/// Fetches a blob into the file at `path`, which then holds exactly these bytes (not flushed to the disk yet).
pub(crate) async fn to_file(
    host: &Host,
    repository: &RepositoryName,
    digest: &Digest,
    size: u64,
    path: &Path,
) -> Result<(), Failure> {
    // The lock goes with the last handle: nobody comes in between the fetches.
    let file = Arc::new(locked::wait(path).await?);
    let mut fetches = 0;
    loop {
        fetches += 1;
        match fetch(host, repository, digest, size, path, Arc::clone(&file)).await {
            Err(Failure::Corrupt(Mismatch::Digest { .. })) if fetches < FETCHES => {}
            fetched => return fetched,
        }
    }
}

/// One fetch: what an earlier one left counts, unless its bytes turned out wrong.
async fn fetch(
    host: &Host,
    repository: &RepositoryName,
    digest: &Digest,
    size: u64,
    path: &Path,
    file: Arc<File>,
) -> Result<(), Failure> {
    file.set_len(size).context("size", path)?;
    let (journal, done) = Journal::open(path, &file, digest, size)?;
    let transfer = host.transfer();
    let plan = Plan::new(size, &done, transfer.part, transfer.connections);
    let follower = Follower::start(Arc::clone(&file), digest, size);
    follower.written(plan.frontier());
    let left = plan.left();
    let workers = usize::try_from(left.div_ceil(transfer.part.max(1))).unwrap_or(usize::MAX);
    let workers = workers.min(transfer.connections.max(1));
    let progress = Progress::start(format!("pull {}", digest.short()), size, &host.reporter);
    progress.advanced(size - left);
    let known = host.memory.get().ranges;
    let download = Download {
        host,
        repository,
        digest,
        size,
        path,
        file,
        journal,
        plan: Mutex::new(plan),
        follower,
        progress,
        target: Mutex::new(None),
        // A registry that did not answer ranges before may do so now, but is not asked again in every download.
        ranges: watch::channel(known).0,
        started: tokio::time::Instant::now(),
        over: Notify::new(),
    };
    if left > 0 {
        try_join_all((0..workers).map(|worker| download.work(worker == 0))).await?;
    }
    finish(download).await
}

async fn finish(download: Download<'_>) -> Result<(), Failure> {
    let Download { follower, digest, size, path, file, journal, progress, .. } = download;
    follower.written(size);
    let hasher = follower.finish().await.map_err(|source| FsError::new("read", path, source))?;
    if let Err(mismatch) = verify::check(hasher, digest, Some(size)) {
        // Nobody knows which part is wrong.
        journal.remove()?;
        file.set_len(0).context("empty", path)?;
        return Err(Failure::Corrupt(mismatch));
    }
    progress.finished();
    Ok(())
}

/// Fetches a small blob into memory.
pub(crate) async fn to_memory(
    host: &Host,
    repository: &RepositoryName,
    digest: &Digest,
    size: u64,
    limit: u64,
) -> Result<Bytes, Failure> {
    if size > limit {
        return Err(Failure::BadAnswer(format!("it is {size} bytes; at most {limit} are read into memory")));
    }
    let scopes = Scopes::pull(&host.endpoint.repository(repository));
    let call = Call::new(Method::GET, host.endpoint.blob(repository, digest), repository, scopes);
    let mut fetches = 0;
    loop {
        fetches += 1;
        let reply = host.send(&call).await?.expect(host, &[200]).await?;
        refuse_encoding(&reply)?;
        let bytes = reply.bytes(host, size).await?;
        let mut hasher = Hasher::of(digest.algorithm());
        hasher.update(&bytes);
        match verify::check(hasher, digest, Some(size)) {
            Ok(()) => return Ok(bytes.into()),
            Err(Mismatch::Digest { .. }) if fetches < FETCHES => {}
            Err(mismatch) => return Err(Failure::Corrupt(mismatch)),
        }
    }
}
