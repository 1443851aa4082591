//! One connection of a download: takes a run from the plan, asks for it, writes it, writes down that it is done.
//!
//! ```text
//! take run ─► GET Range ─► 206: check Content-Range, write ─► every part: journal, frontier
//!                    ├───► 200 to `If-Range`: the bytes changed; what came is dropped, the download begins anew
//!                    ├───► 200, 416, 501: the registry does not do ranges: one plain stream, the other connections end
//!                    └───► cut: what came is kept, the rest waits again ─► pause ─► take …
//! ```

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use port_content::FsError;
use port_content::verify::Mismatch;
use port_model::Digest;
use reqwest::header::{IF_RANGE, RANGE};
use reqwest::{Method, Url};
use tokio::sync::{Notify, watch};

use crate::auth::Scopes;
use crate::capability::Known;
use crate::error::{Failure, quote};
use crate::host::{Host, SendError, Way};
use crate::name::RepositoryName;
use crate::pull::checksum::Checksum;
use crate::pull::follower::Follower;
use crate::pull::journal::Journal;
use crate::pull::manifest::refuse_encoding;
use crate::pull::plan::Plan;
use crate::pull::validator::Validator;
use crate::request::body::Progress;
use crate::request::pace::Pace;
use crate::request::{Again, Call, Reply, Stumble};

/// How often an idle worker looks whether another one is slow.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How a blob is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// In ranges, over several connections, where the registry answers them.
    Ranges,
    /// In one stream from the beginning, even after a cut: nothing between here and there can put ranges together wrongly.
    Plain,
}

/// A download that several workers share.
pub(crate) struct Download<'a> {
    pub(crate) manner: Manner,
    pub(crate) host: &'a Host,
    pub(crate) repository: &'a RepositoryName,
    pub(crate) digest: &'a Digest,
    pub(crate) size: u64,
    pub(crate) path: &'a Path,
    pub(crate) file: Arc<File>,
    pub(crate) journal: &'a Journal,
    pub(crate) plan: Mutex<Plan>,
    /// Hashes the whole; absent where only ranges are wanted.
    pub(crate) follower: Option<Follower>,
    pub(crate) progress: Arc<Progress>,
    /// Where the registry keeps the blob, once it said so by a redirect.
    pub(crate) target: Mutex<Option<Url>>,
    /// Whether ranges are answered; the workers besides the first wait for it.
    pub(crate) ranges: watch::Sender<Known>,
    /// Whether one was answered in this download. What is remembered of a registry need not hold for where it sends us.
    pub(crate) answered: AtomicBool,
    pub(crate) validator: &'a Mutex<Validator>,
    pub(crate) pace: Pace,
    pub(crate) started: tokio::time::Instant,
    /// Wakes idle workers when all is done.
    pub(crate) over: Notify,
}

/// A run that is being fetched.
struct Run {
    id: u64,
    start: u64,
    /// How long the server was waited for. What this host takes for itself, a permit or a slow disk, is not the server's fault.
    waited: Duration,
    /// The next byte to be written.
    position: u64,
    /// Where the part begins that is not written down yet, and its checksum so far.
    part: u64,
    checksum: Checksum,
}

impl Download<'_> {
    /// Fetches runs until none is left. Only the first worker starts before it is known whether ranges are answered.
    pub(crate) async fn work(&self, first: bool) -> Result<(), Failure> {
        if !first && !self.may_join().await {
            return Ok(());
        }
        let mut failures = 0;
        loop {
            let Some((id, range)) = self.next().await else { return Ok(()) };
            let mut run = Run::new(id, range.start);
            let fetched = self.fetch(&mut run, range).await;
            self.plan().release(run.id);
            let Err(stumble) = fetched else {
                failures = 0;
                continue;
            };
            let further = self.got_further(&run);
            failures = if further { 1 } else { failures + 1 };
            self.host.wait(stumble, failures).await?;
        }
    }

    /// Whether a try that failed brought enough not to count. One that breaks off again and again after next to nothing
    /// would be tried for ever.
    fn got_further(&self, run: &Run) -> bool {
        let bytes = run.position.saturating_sub(run.start);
        bytes >= self.host.patience().least_progress.max(self.pace.least_in(run.waited))
    }

    /// The next run. While others still run and may turn out slow, an idle worker waits.
    async fn next(&self) -> Option<(u64, Range<u64>)> {
        loop {
            let mut over = std::pin::pin!(self.over.notified());
            over.as_mut().enable();
            {
                let mut plan = self.plan();
                if *self.ranges.borrow() == Known::No {
                    return plan.take_rest(self.size);
                }
                if let Some(run) = plan.take(self.started.elapsed()) {
                    return Some(run);
                }
                if plan.is_over() {
                    self.over.notify_waiters();
                    return None;
                }
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, over).await;
        }
    }

    /// Whether ranges are answered, once that is known; not where all is there before, as when the first run was the whole.
    async fn may_join(&self) -> bool {
        let mut over = std::pin::pin!(self.over.notified());
        over.as_mut().enable();
        if self.plan().is_over() {
            return false;
        }
        let mut watched = self.ranges.subscribe();
        let known = std::pin::pin!(watched.wait_for(|known| *known != Known::Unknown));
        match select(known, over).await {
            Either::Left((known, _)) => known.is_ok_and(|known| *known == Known::Yes),
            Either::Right(_) => false,
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn target(&self) -> MutexGuard<'_, Option<Url>> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, run: &mut Run, range: Range<u64>) -> Result<(), Stumble> {
        // After a cut, a registry that ignored ranges before is asked once more.
        let plain = self.manner == Manner::Plain
            || range == (0..self.size)
            || (range.start == 0 && *self.ranges.borrow() == Known::No);
        let asked = (!plain).then_some(&range);
        let reply = self.open(asked).await?;
        refuse_encoding(reply.header("content-encoding"))?;
        if self.validator().changed() {
            return Err(Failure::BadAnswer("its bytes changed while they were fetched".to_owned()).into());
        }
        let unknown = !self.answered.load(Ordering::Relaxed);
        match (reply.status(), asked) {
            (206, Some(asked)) => {
                let end = content_range(&reply, asked, self.size)?;
                self.answered.store(true, Ordering::Relaxed);
                self.learn(Known::Yes);
                self.receive(run, reply, asked.start, end).await
            }
            (200, Some(_)) if unknown => match self.restart(run) {
                true => self.receive_whole(run, reply).await,
                false => Ok(()),
            },
            (200, _) => self.receive_whole(run, reply).await,
            (400 | 416 | 501, Some(_)) if unknown => {
                drop(reply);
                if !self.restart(run) {
                    return Ok(());
                }
                let reply = self.open(None).await?.expect(self.host, &[200]).await?;
                refuse_encoding(reply.header("content-encoding"))?;
                self.receive_whole(run, reply).await
            }
            _ => Err(Failure::of_status(reply.refusal(self.host).await).into()),
        }
    }

    /// Ranges are not answered: all that is not done becomes this run. `false` where another worker has that one already.
    fn restart(&self, run: &mut Run) -> bool {
        self.learn(Known::No);
        let mut plan = self.plan();
        plan.release(run.id);
        let rest = plan.take_rest(self.size);
        rest.map(|(id, range)| *run = Run::new(id, range.start)).is_some()
    }

    fn learn(&self, known: Known) {
        self.ranges.send_if_modified(|before| std::mem::replace(before, known) != known);
        self.host.memory.learn(|capabilities| capabilities.ranges = known);
    }

    fn validator(&self) -> MutexGuard<'_, Validator> {
        self.validator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a range: where the blob was found last, else at the registry.
    async fn open(&self, range: Option<&Range<u64>>) -> Result<Reply, Stumble> {
        let validator = range.and_then(|_| self.validator().get());
        let reply = self.ask(range, validator.as_deref()).await?;
        if matches!(reply.status(), 200 | 206) {
            let headers = reply.response.headers();
            self.validator().answered(reply.status(), headers, validator.as_deref());
        }
        Ok(reply)
    }

    async fn ask(&self, range: Option<&Range<u64>>, validator: Option<&str>) -> Result<Reply, Stumble> {
        let scopes = Scopes::pull(&self.host.endpoint.repository(self.repository));
        let url = self.host.endpoint.blob(self.repository, self.digest);
        let mut call = Call::new(Method::GET, url, self.repository, scopes);
        if let Some(range) = range {
            call = call.header(RANGE, &format!("bytes={}-{}", range.start, range.end - 1));
        }
        if let Some(etag) = validator {
            call = call.header(IF_RANGE, etag);
        }
        let known = self.target().clone();
        if let Some(target) = known {
            let asked = self.host.attempt_at(&call, &target, Way::Outside).await;
            if let Ok(Some(reply)) = asked {
                return Ok(reply);
            }
            // Such addresses expire, and what is behind them goes away: the registry gives a new one.
            self.target().take_if(|known| *known == target);
            asked?;
        }
        let reply = self.host.attempt(&call).await?;
        if !self.host.is_home(&reply.url) && matches!(reply.status(), 200 | 206) {
            *self.target() = Some(reply.url.clone());
        }
        Ok(reply)
    }

    async fn receive_whole(&self, run: &mut Run, reply: Reply) -> Result<(), Stumble> {
        if let Some(found) = reply.response.content_length().filter(|found| *found != self.size) {
            let more = found > self.size;
            let mismatch = Mismatch::Size { expected: self.size, found: found.min(self.size), more };
            return Err(Failure::Corrupt(mismatch).into());
        }
        self.receive(run, reply, 0, self.size).await
    }

    /// Writes a body that holds `from..to`. What lies before the run is thrown away; what lies behind is not awaited.
    async fn receive(&self, run: &mut Run, reply: Reply, from: u64, to: u64) -> Result<(), Stumble> {
        let stall = self.host.patience().stall;
        let (url, mut at) = (reply.url.clone(), from);
        run.waited += reply.asked.elapsed();
        let (mut body, _running) = reply.into_stream();
        loop {
            let (waiting, began) = (self.pace.wait(), tokio::time::Instant::now());
            let next = tokio::time::timeout(stall, body.next()).await;
            drop(waiting);
            run.waited += began.elapsed();
            let cut = match next {
                Ok(Some(Ok(chunk))) => {
                    let before = at;
                    at += chunk.len() as u64;
                    if at > to {
                        return Err(self.too_much(to).into());
                    }
                    let skipped = usize::try_from(run.position.saturating_sub(before)).unwrap_or(usize::MAX);
                    let fresh = chunk.get(skipped.min(chunk.len())..).unwrap_or_default();
                    if self.write(run, fresh)? {
                        return Ok(());
                    }
                    if self.pace.is_too_slow_with(at - before) {
                        self.write_down(run)?;
                        return Err(self.too_slow(&url));
                    }
                    continue;
                }
                Ok(None) if at == to => None,
                Ok(None) => Some(SendError::Broken(format!("the answer ended at byte {at} of {to}").into())),
                Ok(Some(Err(error))) => Some(SendError::of(error)),
                Err(_) => Some(SendError::stalled(stall)),
            };
            self.write_down(run)?;
            return match cut {
                None => Ok(()),
                Some(error) => {
                    Err(Stumble { failure: error.into_failure(&url, 1), again: Again::Later(None) })
                }
            };
        }
    }

    /// Writes bytes of a run; says whether the run is at its end.
    fn write(&self, run: &mut Run, bytes: &[u8]) -> Result<bool, Failure> {
        let wanted = run.position + bytes.len() as u64;
        // The bytes are claimed before they are written: a thief takes only what lies behind them.
        let end = self.plan().advance(run.id, wanted);
        let count = usize::try_from(end.min(wanted).saturating_sub(run.position)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..count.min(bytes.len())).unwrap_or_default();
        self.file
            .write_all_at(bytes, run.position)
            .map_err(|source| FsError::new("write", self.path, source))?;
        run.checksum.update(bytes);
        run.position += bytes.len() as u64;
        self.progress.advanced(bytes.len() as u64);
        let at_end = run.position >= end;
        if at_end || run.position - run.part >= self.host.transfer().part {
            self.write_down(run)?;
        }
        Ok(at_end)
    }

    /// Notes what was written since the last note.
    fn write_down(&self, run: &mut Run) -> Result<(), Failure> {
        let range = run.part..run.position;
        if range.is_empty() {
            return Ok(());
        }
        self.journal.done(&range, std::mem::take(&mut run.checksum).finish())?;
        run.part = run.position;
        let frontier = {
            let mut plan = self.plan();
            plan.finish(range);
            plan.frontier()
        };
        if let Some(follower) = &self.follower {
            follower.written(frontier);
        }
        Ok(())
    }

    fn too_slow(&self, url: &Url) -> Stumble {
        let slow = SendError::Broken(self.pace.reason().into());
        Stumble { failure: slow.into_failure(url, 1), again: Again::Never }
    }

    fn too_much(&self, to: u64) -> Failure {
        Failure::Corrupt(Mismatch::Size { expected: self.size, found: to, more: true })
    }
}

impl Run {
    fn new(id: u64, position: u64) -> Self {
        let (waited, checksum) = (Duration::ZERO, Checksum::default());
        Self { id, start: position, waited, position, part: position, checksum }
    }
}

/// Checks `Content-Range` against what was asked; returns where the body ends. It may be shorter than asked.
fn content_range(reply: &Reply, asked: &Range<u64>, size: u64) -> Result<u64, Failure> {
    let text = reply.header("content-range").unwrap_or_default();
    let wrong = || {
        Failure::BadAnswer(format!(
            "asked for the bytes {}-{} of {size}, it sent `{}`",
            asked.start,
            asked.end - 1,
            quote(text)
        ))
    };
    let (range, total) =
        text.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let (start, last) = range.split_once('-').ok_or_else(wrong)?;
    let (start, last): (u64, u64) = (start.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    let total_fits = total == "*" || total.parse() == Ok(size);
    if start != asked.start || last < start || last >= asked.end || !total_fits {
        return Err(wrong());
    }
    let length = last - start + 1;
    if reply.response.content_length().is_some_and(|found| found != length) {
        return Err(wrong());
    }
    Ok(last + 1)
}
