//! A blob, or ranges of it, into a file: resumed where an earlier process was killed, over several connections, from
//! mirrors first. The whole is checked; of ranges nothing is, which is for the caller to do by what it knows of them.
//!
//! CRASH: the partial file and its journal stay whatever happens; a rerun with the same path repeats at most one part
//! per connection. They go only when the bytes turned out wrong, so that the next try starts clean, or when the caller,
//! having moved the file to its place, calls [`Partial::forget`].

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::try_join_all;
use port_content::fs::{Context as _, FsError};
use port_content::hashing::Hasher;
use port_content::sparse;
use port_content::verify::{self, Mismatch};
use port_model::Digest;
use reqwest::Method;
use tokio::sync::{Notify, watch};

use crate::auth::Scopes;
use crate::capability::Known;
use crate::error::{Failure, Kind};
use crate::mirror::{MirrorSite, Site};
use crate::pull::follower::Follower;
use crate::pull::journal::{Journal, joined};
use crate::pull::partial::Partial;
use crate::pull::plan::Plan;
use crate::pull::validator::Validator;
use crate::pull::worker::{Download, Manner};
use crate::request::Call;
use crate::request::body::Progress;
use crate::request::pace::Pace;

/// The task under which the download of this blob reports its progress.
pub fn task(digest: &Digest) -> String {
    format!("pull {}", digest.short())
}

/// What is fetched, and into which file.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) size: u64,
    /// Ranges to fetch, of which nothing is checked; `None` is the whole blob, checked.
    pub(crate) ranges: Option<&'a [Range<u64>]>,
    pub(crate) partial: &'a Partial,
}

/// Fetches a blob, or ranges of it, into a file (not flushed to the disk yet): from the first mirror that gives it, else
/// from the origin. What one place gave stays when the next one goes on, unless it was wrong; what was there before is
/// nobody's fault.
pub(crate) async fn to_file(
    origin: &Site,
    mirrors: &[MirrorSite],
    wanted: Wanted<'_>,
) -> Result<(), Failure> {
    if let Some(range) = wanted.ranges.and_then(|ranges| ranges.iter().find(|range| range.end > wanted.size))
    {
        return Err(Failure::BeyondTheEnd { range: range.clone(), size: wanted.size });
    }
    let fetching = Fetching::open(wanted).await?;
    for mirror in mirrors.iter().filter(|mirror| mirror.is_good()) {
        let mark = fetching.journal.mark();
        let Err(failure) = fetching.fetch(&mirror.site, Manner::Ranges).await else { return Ok(()) };
        match &failure {
            // It brought nothing, so that what is wrong was there before.
            Failure::Corrupt(Mismatch::Digest { .. }) if fetching.journal.mark() == mark => {
                fetching.back_to(0).await?;
            }
            _ if matches!(failure.kind(), Kind::Corrupt | Kind::Hostile) => fetching.back_to(mark).await?,
            _ => {}
        }
        mirror.pass_over(&format!("blob {}", wanted.digest), failure)?;
    }
    match fetching.fetch(origin, Manner::Ranges).await {
        // Nobody knows which part is wrong.
        Err(Failure::Corrupt(Mismatch::Digest { .. })) => fetching.back_to(0).await?,
        fetched => return fetched,
    }
    // A flipped bit passes; so does a proxy that puts ranges together wrongly. A registry that lies does not.
    origin.host.reporter.note(format!(
        "blob {} came with other bytes; it is fetched once more, in one stream",
        wanted.digest
    ));
    match fetching.fetch(origin, Manner::Plain).await {
        Err(Failure::Corrupt(mismatch @ Mismatch::Digest { .. })) => {
            fetching.back_to(0).await?;
            Err(Failure::CorruptAgain(mismatch))
        }
        fetched => fetched,
    }
}

/// What is fetched, and how far it is.
struct Fetching<'a> {
    wanted: Wanted<'a>,
    file: Arc<File>,
    journal: Arc<Journal>,
}

impl<'a> Fetching<'a> {
    async fn open(wanted: Wanted<'a>) -> Result<Self, Failure> {
        let (path, digest, size) = (wanted.partial.path().to_owned(), wanted.digest.clone(), wanted.size);
        let data = wanted.partial.file();
        let journal = reading(wanted, move || Journal::open(&path, &data, &digest, size));
        Ok(Self { wanted, file: wanted.partial.file(), journal: Arc::new(journal.await?) })
    }

    /// Forgets the ranges that were done after a mark.
    async fn back_to(&self, mark: usize) -> Result<(), Failure> {
        let (journal, data) = (Arc::clone(&self.journal), Arc::clone(&self.file));
        let path = self.wanted.partial.path().to_owned();
        reading(self.wanted, move || {
            journal.back_to(mark, &data)?;
            match mark {
                0 => data.set_len(0).context("empty", &path),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Fetches what is not there, from one place. Where its bytes change under it, what it brought is dropped and fetched anew.
    async fn fetch(&self, site: &Site, manner: Manner) -> Result<(), Failure> {
        let (mark, validator) = (self.journal.mark(), Mutex::default());
        loop {
            let fetched = self.attempt(site, manner, &validator).await;
            let changed = validator.lock().unwrap_or_else(PoisonError::into_inner).take_changed();
            if !changed || fetched.is_ok() {
                return fetched;
            }
            self.back_to(mark).await?;
        }
    }

    /// One download: what an earlier one left counts.
    async fn attempt(
        &self,
        site: &Site,
        manner: Manner,
        validator: &Mutex<Validator>,
    ) -> Result<(), Failure> {
        let Wanted { digest, size, partial, .. } = self.wanted;
        self.file.set_len(size).context("size", partial.path())?;
        let host = &*site.host;
        let transfer = host.transfer();
        let ranges = match self.wanted.ranges {
            Some(ranges) => joined(ranges.to_vec()),
            None => std::iter::once(0..size).filter(|whole| !whole.is_empty()).collect(),
        };
        let plan = Plan::new(&ranges, &self.journal.ranges(), transfer.part, transfer.connections);
        let follow = || Follower::start(Arc::clone(&self.file), digest, size, partial.told());
        let follower = self.wanted.ranges.is_none().then(follow);
        if let Some(follower) = &follower {
            follower.written(plan.frontier());
        }
        let (left, workers) = (plan.left(), plan.width().min(transfer.connections.max(1)));
        let total = ranges.iter().map(|range| range.end - range.start).sum();
        let progress = Progress::start(task(digest), total, &host.reporter);
        progress.advanced(total - left);
        // A registry that did not answer ranges before may do so now, but is not asked again in every download.
        let known = if manner == Manner::Plain { Known::No } else { host.memory.get().ranges };
        let download = Download {
            manner,
            host,
            repository: &site.repository,
            digest,
            size,
            path: partial.path(),
            file: Arc::clone(&self.file),
            journal: &self.journal,
            plan: Mutex::new(plan),
            follower,
            progress,
            target: Mutex::new(None),
            ranges: watch::channel(known).0,
            answered: AtomicBool::new(false),
            validator,
            pace: Pace::start(host.patience()),
            started: tokio::time::Instant::now(),
            over: Notify::new(),
        };
        if left > 0 {
            let workers = if manner == Manner::Plain { 1 } else { workers };
            try_join_all((0..workers).map(|worker| download.work(worker == 0))).await?;
        }
        finish(download, self.wanted).await
    }
}

async fn finish(download: Download<'_>, wanted: Wanted<'_>) -> Result<(), Failure> {
    let Download { follower, plan, file, progress, .. } = download;
    let Wanted { digest, size, partial, .. } = wanted;
    if let Some(follower) = follower {
        follower.written(size);
        let hashed = follower.finish().await;
        let mut hasher = hashed.map_err(|source| FsError::new("read", partial.path(), source))?;
        let overlapped = plan.into_inner().unwrap_or_else(PoisonError::into_inner).overlapped();
        if overlapped {
            // What was read on the way may have been written over since. Now nobody writes any more.
            hasher = hashed_anew(file, wanted).await?;
        }
        verify::check(hasher, digest, Some(size)).map_err(Failure::Corrupt)?;
        if let Some(told) = overlapped.then(|| partial.told()).flatten() {
            told(size);
        }
    }
    progress.finished();
    Ok(())
}

async fn hashed_anew(file: Arc<File>, wanted: Wanted<'_>) -> Result<Hasher, Failure> {
    let (path, size) = (wanted.partial.path().to_owned(), wanted.size);
    let mut hasher = Hasher::of(wanted.digest.algorithm());
    reading(wanted, move || {
        sparse::hash_to(&file, &mut hasher, size).context("read", &path)?;
        Ok(hasher)
    })
    .await
}

/// Does what reads much of the partial file, where that holds nobody up.
async fn reading<T: Send + 'static>(
    wanted: Wanted<'_>,
    work: impl FnOnce() -> Result<T, FsError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    let lost = |error| FsError::new("read", wanted.partial.path(), io::Error::other(error));
    Ok(done.map_err(lost)??)
}

/// How often a small blob is fetched whose bytes turn out wrong.
const FETCHES: u32 = 2;

/// Fetches a small blob into memory.
pub(crate) async fn to_memory(
    origin: &Site,
    mirrors: &[MirrorSite],
    digest: &Digest,
    size: u64,
    limit: u64,
) -> Result<Bytes, Failure> {
    if size > limit {
        return Err(Failure::BadAnswer(format!("it is {size} bytes; at most {limit} are read into memory")));
    }
    for mirror in mirrors.iter().filter(|mirror| mirror.is_good()) {
        match small(&mirror.site, digest, size, 1).await {
            Ok(bytes) => return Ok(bytes),
            Err(failure) => mirror.pass_over(&format!("blob {digest}"), failure)?,
        }
    }
    small(origin, digest, size, FETCHES).await
}

async fn small(site: &Site, digest: &Digest, size: u64, most: u32) -> Result<Bytes, Failure> {
    let Site { host, repository } = site;
    let scopes = Scopes::pull(&host.endpoint.repository(repository));
    let call = Call::new(Method::GET, host.endpoint.blob(repository, digest), repository, scopes);
    let mut fetches = 0;
    loop {
        fetches += 1;
        let bytes = host.send_whole(&call, size).await?.bytes;
        let mut hasher = Hasher::of(digest.algorithm());
        hasher.update(&bytes);
        match verify::check(hasher, digest, Some(size)) {
            Ok(()) => return Ok(bytes.into()),
            Err(Mismatch::Digest { .. }) if fetches < most => {}
            Err(mismatch) => return Err(Failure::Corrupt(mismatch)),
        }
    }
}
