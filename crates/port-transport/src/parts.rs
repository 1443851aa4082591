//! A large file over several connections, continued where an earlier process left it.
//!
//! ```text
//! probe (one byte) ─► ranges? ─ yes ─► parts by number ─► file at their place ─► journal
//!                        └─ no ─► one stream                      └─► follower: the digest of the whole, in order
//! ```
//!
//! The digest is taken of what lies in the file, by a thread that follows the parts. A file that changes on the server while
//! it is fetched (`If-Range`) is begun anew, once.
//!
//! CRASH: the file and its journal stay whatever happens; a rerun with the same path repeats at most one part per connection.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError, mpsc};

use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use port_content::fs::{self, Context as _, FsError};
use port_content::hashing::Hasher;
use port_model::{Event, Reporter};
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url};

use crate::client::Client;
use crate::download::{Cut, Downloaded, Progress, Tries, describe, parse, refusal, task, write_failed};
use crate::error::{Failure, TransportError};
use crate::journal::{self, Cuts, Journal};

/// How much is asked for at once, in bytes.
const PART: u64 = 8 << 20;
/// How many connections fetch one file.
const CONNECTIONS: usize = 4;

/// What is known of a file before it is fetched.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Its size, if that is known: another one ends the download before it begins.
    pub size: Option<u64>,
    /// The most that is fetched, in bytes.
    pub limit: u64,
}

/// Removes what [`Client::gather`] keeps beside `path` to continue; the file itself has been moved to its place, or is of no
/// use.
///
/// # Errors
/// [`FsError`] where it cannot be removed.
pub fn forget(path: &Path) -> Result<(), FsError> {
    fs::remove_file(&journal::path_of(path))
}

/// What the server says of the file.
enum Probed {
    /// It gives ranges.
    Parts { total: u64, tag: Option<String> },
    /// It gives the whole only.
    Whole,
}

/// How an attempt at the whole file ended.
enum Attempt {
    Done(Downloaded),
    Changed,
}

impl Client {
    /// Fetches `url` into the file at `path`, over several connections where the server gives ranges, and continues what an
    /// earlier process left there. Whoever calls is alone with that path.
    ///
    /// # Errors
    /// [`TransportError`] naming the URL. What was fetched stays for the next try.
    pub async fn gather(
        &self,
        url: &str,
        path: &Path,
        wanted: Wanted,
        reporter: &dyn Reporter,
    ) -> Result<Downloaded, TransportError> {
        let fail = |failure| TransportError { url: url.to_owned(), failure };
        let parsed = parse(url).map_err(fail)?;
        for _ in 0..2 {
            if let Attempt::Done(done) =
                self.attempt_parts(&parsed, path, wanted, reporter).await.map_err(fail)?
            {
                return Ok(done);
            }
        }
        Err(fail(Failure::Changed))
    }

    async fn attempt_parts(
        &self,
        url: &Url,
        path: &Path,
        wanted: Wanted,
        reporter: &dyn Reporter,
    ) -> Result<Attempt, Failure> {
        let (total, tag) = match self.probe(url).await? {
            Probed::Parts { total, tag } => (total, tag),
            Probed::Whole => return self.whole(url, path, wanted, reporter).await.map(Attempt::Done),
        };
        wanted.check(total)?;
        let cuts = Cuts { part: PART, total };
        let file = fs::open_writable_itself(path)?;
        file.set_len(total).context("size", path)?;
        let (journal, done) = Journal::open(path, &file, cuts, url.as_str(), tag.as_deref())?;
        let download = Parts {
            client: self,
            url,
            file: &file,
            cuts,
            tag: tag.as_deref(),
            left: Mutex::new((0..cuts.count()).filter(|number| !done.contains(number)).collect()),
            journal: Mutex::new(journal),
            task: task(url),
            reporter,
        };
        download.run(done, path).await
    }

    /// Asks for one byte, to learn what the server can do and how large the file is.
    async fn probe(&self, url: &Url) -> Result<Probed, Failure> {
        let http = self.http().map_err(|source| Failure::NoClient { source })?;
        let mut tries = Tries::default();
        loop {
            let cut = match self.send(http.get(url.clone()).header(RANGE, "bytes=0-0")).await {
                Ok(response) => match response.status() {
                    StatusCode::PARTIAL_CONTENT => return Ok(probed(&response)),
                    StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Probed::Whole),
                    status => refusal(status),
                },
                Err(cut) => cut,
            };
            self.wait(&mut tries, Progress::NONE, cut).await?;
        }
    }

    async fn whole(
        &self,
        url: &Url,
        path: &Path,
        wanted: Wanted,
        reporter: &dyn Reporter,
    ) -> Result<Downloaded, Failure> {
        let mut file = fs::open_writable_itself(path)?;
        file.set_len(0).context("empty", path)?;
        let limit = wanted.size.unwrap_or(wanted.limit).min(wanted.limit);
        let done =
            self.download(url.as_str(), &mut file, limit, reporter).await.map_err(|error| error.failure)?;
        wanted.check(done.size)?;
        Ok(done)
    }
}

impl Wanted {
    fn check(self, found: u64) -> Result<(), Failure> {
        match self.size {
            Some(expected) if expected != found => Err(Failure::OtherSize { expected, found }),
            _ if found > self.limit => Err(Failure::TooLarge { limit: self.limit }),
            _ => Ok(()),
        }
    }
}

/// Total size and strong entity tag of a partial answer. A weak tag says nothing of single bytes.
fn probed(response: &Response) -> Probed {
    let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let total = header(CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes 0-0/")?.parse().ok());
    let strong = |tag: &&str| tag.starts_with('"') && !tag.contains([' ', '\n']);
    match total {
        Some(total) => Probed::Parts { total, tag: header(ETAG).filter(strong).map(str::to_owned) },
        None => Probed::Whole,
    }
}

/// One download in parts.
struct Parts<'a> {
    client: &'a Client,
    url: &'a Url,
    file: &'a File,
    cuts: Cuts,
    tag: Option<&'a str>,
    left: Mutex<VecDeque<u64>>,
    journal: Mutex<Journal>,
    task: String,
    reporter: &'a dyn Reporter,
}

/// Why a connection stopped.
enum Stop {
    Changed,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Parts<'_> {
    async fn run(self, done: BTreeSet<u64>, path: &Path) -> Result<Attempt, Failure> {
        let total = Some(self.cuts.total);
        self.reporter.event(Event::Started { task: self.task.clone(), total });
        self.advanced(done.iter().map(|number| self.size_of(*number)).sum());
        let (written, follower) = self.follow(done, path)?;
        let workers = (0..CONNECTIONS).map(|_| self.work(written.clone()));
        match try_join_all(workers).await {
            Err(Stop::Changed) => return Ok(Attempt::Changed),
            Err(Stop::Failed(failure)) => return Err(failure),
            Ok(_) => drop(written),
        }
        let hasher = follower.await.map_err(std::io::Error::other).flatten().context("read", path)?;
        let size = hasher.size();
        self.reporter.event(Event::Finished { task: self.task });
        Ok(Attempt::Done(Downloaded { digest: hasher.finish(), size }))
    }

    /// Starts the thread that hashes the parts in their order as they come.
    fn follow(&self, done: BTreeSet<u64>, path: &Path) -> Result<(mpsc::Sender<u64>, Follower), Failure> {
        let (written, arrived) = mpsc::channel();
        let (file, cuts) = (self.file.try_clone().context("share", path)?, self.cuts);
        let follower = tokio::task::spawn_blocking(move || {
            let (mut done, mut next, mut hasher) = (done, 0, Hasher::default());
            loop {
                while done.remove(&next) {
                    hasher.update(&cuts.read(&file, next)?);
                    next += 1;
                }
                // Ends when every connection has.
                match arrived.recv() {
                    Ok(number) => done.insert(number),
                    Err(mpsc::RecvError) => return Ok(hasher),
                };
            }
        });
        Ok((written, follower))
    }

    async fn work(&self, written: mpsc::Sender<u64>) -> Result<(), Stop> {
        loop {
            let next = self.left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(number) = next else { return Ok(()) };
            self.part(number).await?;
            // The follower is gone only where reading failed, which it says at the end.
            let _ = written.send(number);
        }
    }

    async fn part(&self, number: u64) -> Result<(), Stop> {
        let (start, end) = self.cuts.range(number);
        let (mut hasher, mut tries) = (Hasher::default(), Tries::default());
        loop {
            let before = hasher.size();
            let Err(stop) = self.attempt(start, end, &mut hasher).await else { break };
            let cut = match stop {
                PartStop::Changed => return Err(Stop::Changed),
                PartStop::Cut(cut) => cut,
            };
            // Earlier parts came, so that a call which nobody answers is worth more than two.
            let total = Some(end.saturating_sub(start));
            let progress = Progress { before: before.max(1), after: hasher.size().max(1), total };
            self.client.wait(&mut tries, progress, cut).await?;
        }
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(journal.done(number, &hasher.finish()).map_err(Failure::Files)?)
    }

    async fn attempt(&self, start: u64, end: u64, hasher: &mut Hasher) -> Result<(), PartStop> {
        let from = start.saturating_add(hasher.size());
        let http = self.client.http().map_err(|source| Cut::Final(Failure::NoClient { source }))?;
        let mut request =
            http.get(self.url.clone()).header(RANGE, format!("bytes={from}-{}", end.saturating_sub(1)));
        if let Some(tag) = self.tag {
            request = request.header(IF_RANGE, tag);
        }
        let response = self.client.send(request).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => self.accept(&response, from)?,
            // It gave ranges a moment ago: this is another file.
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => return Err(PartStop::Changed),
            status => return Err(refusal(status).into()),
        }
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Cut::Again(describe(error)))?;
            let at = start.saturating_add(hasher.size());
            let room = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let chunk = chunk.get(..chunk.len().min(room)).unwrap_or_default();
            self.file.write_all_at(chunk, at).map_err(write_failed)?;
            hasher.update(chunk);
            self.advanced(chunk.len() as u64);
        }
        match start.saturating_add(hasher.size()) == end {
            true => Ok(()),
            false => Err(Cut::Again("the answer ended early".into()).into()),
        }
    }

    /// Looks at the head of a partial answer: is it the range that was asked for, of the file that was probed?
    fn accept(&self, response: &Response, from: u64) -> Result<(), PartStop> {
        let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let found = range.unwrap_or_default().to_owned();
        if !found.starts_with(&format!("bytes {from}-")) {
            return Err(Cut::Final(Failure::WrongRange { asked: from, found }).into());
        }
        match found.ends_with(&format!("/{}", self.cuts.total)) {
            true => Ok(()),
            false => Err(PartStop::Changed),
        }
    }

    fn size_of(&self, number: u64) -> u64 {
        let (start, end) = self.cuts.range(number);
        end - start
    }

    fn advanced(&self, bytes: u64) {
        self.reporter.event(Event::Advanced { task: self.task.clone(), bytes });
    }
}

type Follower = tokio::task::JoinHandle<std::io::Result<Hasher>>;

/// Why an attempt at one part ended.
enum PartStop {
    Changed,
    Cut(Cut),
}

impl From<Cut> for PartStop {
    fn from(cut: Cut) -> Self {
        Self::Cut(cut)
    }
}
