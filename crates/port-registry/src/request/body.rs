//! Bodies: those that are sent, which can be sent again, and those that come, which are read with a limit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use port_model::{Event, Reporter};
use reqwest::Response;

use crate::error::Failure;
use crate::host::SendError;
use crate::options::Patience;
use crate::request::pace::Pace;

/// How much of a file is read at once, in bytes.
const BLOCK: usize = 256 * 1024;
/// How much of that is handed to the network at once, in bytes: a link that takes less in [`Patience::stall`], about a
/// kibibyte per second, counts as one that stands still.
const SLICE: usize = 64 * 1024;
/// How many blocks are read ahead of the network.
const AHEAD: usize = 4;

/// What a request carries. It can be made into a body as often as the request is tried.
#[derive(Debug, Clone, Default)]
pub(crate) enum Body {
    #[default]
    Empty,
    Bytes(Bytes),
    /// A part of a file, streamed.
    Part(FilePart),
}

/// A part of a file.
#[derive(Debug, Clone)]
pub(crate) struct FilePart {
    pub(crate) file: Arc<File>,
    /// Names the file in errors.
    pub(crate) path: Arc<Path>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// How far a transfer got; it reports each byte once, however often it is sent.
pub(crate) struct Progress {
    pub(crate) task: String,
    total: u64,
    reported: AtomicU64,
    reporter: Arc<dyn Reporter>,
}

impl Progress {
    pub(crate) fn start(task: String, total: u64, reporter: &Arc<dyn Reporter>) -> Arc<Self> {
        reporter.event(Event::Started { task: task.clone(), total: Some(total) });
        Arc::new(Self { task, total, reported: AtomicU64::new(0), reporter: Arc::clone(reporter) })
    }

    /// All up to here is done.
    pub(crate) fn reached(&self, position: u64) {
        let before = self.reported.fetch_max(position, Ordering::Relaxed);
        if position > before {
            self.reporter.event(Event::Advanced { task: self.task.clone(), bytes: position - before });
        }
    }

    /// So many more are done. A server that sends more than was asked for makes it no more than all.
    pub(crate) fn advanced(&self, bytes: u64) {
        let before = self.reported.fetch_add(bytes, Ordering::Relaxed);
        let bytes = bytes.min(self.total.saturating_sub(before));
        self.reporter.event(Event::Advanced { task: self.task.clone(), bytes });
    }

    pub(crate) fn finished(&self) {
        self.reporter.event(Event::Finished { task: self.task.clone() });
    }
}

/// What a body that is being sent says about itself: when it last moved, whether it is all sent, and why it cannot be.
#[derive(Debug)]
pub(crate) struct Activity {
    last: Mutex<tokio::time::Instant>,
    done: AtomicBool,
    failed: Mutex<Option<io::Error>>,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            last: Mutex::new(tokio::time::Instant::now()),
            done: AtomicBool::new(false),
            failed: Mutex::default(),
        })
    }

    fn moved(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = tokio::time::Instant::now();
    }

    /// Why the file could not be read, and which.
    pub(crate) fn failed<'a>(&self, body: &'a Body) -> Option<(&'a Path, io::Error)> {
        let Body::Part(part) = body else { return None };
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map(|error| (&*part.path, error))
    }

    /// Keeps why the file could not be read; the body breaks off.
    fn fails(&self, error: io::Error) -> io::Error {
        let broken = error.kind().into();
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        broken
    }

    /// How long nothing has moved, and whether all was sent.
    pub(crate) fn idle(&self) -> (Duration, bool) {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (last.elapsed(), self.done.load(Ordering::Relaxed))
    }
}

impl Body {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Part(part) => part.length,
        }
    }

    /// The body for one try.
    pub(crate) fn open(&self, activity: &Arc<Activity>, progress: Option<&Arc<Progress>>) -> reqwest::Body {
        match self {
            Self::Empty => reqwest::Body::from(Bytes::new()),
            Self::Bytes(bytes) => reqwest::Body::from(bytes.clone()),
            Self::Part(part) => part.stream(Arc::clone(activity), progress.cloned()),
        }
    }
}

impl FilePart {
    /// Reads ahead in a thread of its own, so that disk and network work at the same time.
    fn stream(&self, activity: Arc<Activity>, progress: Option<Arc<Progress>>) -> reqwest::Body {
        let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
        let part = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut position = part.offset;
            let end = part.offset + part.length;
            while position < end {
                let block = part.read(position, end);
                let count = block.as_ref().map_or(end - position, |block| block.len() as u64);
                // The other side is gone where the request was given up.
                if sender.blocking_send(block).is_err() {
                    return;
                }
                position += count;
            }
        });
        let start = (receiver, Bytes::new(), self.offset, self.offset + self.length);
        reqwest::Body::wrap_stream(futures_util::stream::unfold(
            start,
            move |(mut receiver, mut left, at, end)| {
                let (activity, progress) = (Arc::clone(&activity), progress.clone());
                async move {
                    // Asking for the next slice means that the one before was taken by the network.
                    if let Some(progress) = &progress {
                        progress.reached(at);
                    }
                    activity.moved();
                    if left.is_empty() {
                        match receiver.recv().await {
                            Some(Ok(block)) => left = block,
                            Some(Err(error)) => {
                                return Some((Err(activity.fails(error)), (receiver, left, at, end)));
                            }
                            None => {
                                activity.done.store(true, Ordering::Relaxed);
                                return None;
                            }
                        }
                    }
                    let slice = left.split_to(left.len().min(SLICE));
                    let next = at + slice.len() as u64;
                    if next >= end {
                        activity.done.store(true, Ordering::Relaxed);
                    }
                    Some((Ok(slice), (receiver, left, next, end)))
                }
            },
        ))
    }

    fn read(&self, position: u64, end: u64) -> io::Result<Bytes> {
        let count = usize::try_from(end - position).unwrap_or(BLOCK).min(BLOCK);
        let mut block = vec![0; count];
        self.file.read_exact_at(&mut block, position)?;
        Ok(block.into())
    }
}

/// Reads a body of at most `limit` bytes; a stall, one that comes too slowly, or a longer one is an error.
pub(crate) async fn read_bounded(
    response: Response,
    limit: u64,
    patience: &Patience,
) -> Result<Vec<u8>, Failure> {
    let (stall, pace) = (patience.stall, Pace::start(patience));
    let url = response.url().clone();
    let too_large =
        || Failure::Hostile(format!("an answer larger than {limit} bytes, the most that is read here"));
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = response.bytes_stream();
    let mut bytes = Vec::new();
    loop {
        let waiting = pace.wait();
        let next = tokio::time::timeout(stall, body.next()).await;
        drop(waiting);
        match next.map_err(|_| SendError::stalled(stall).into_failure(&url, 1))? {
            None => return Ok(bytes),
            Some(Err(error)) => return Err(SendError::of(error).into_failure(&url, 1)),
            Some(Ok(chunk)) if bytes.len() as u64 + chunk.len() as u64 > limit => return Err(too_large()),
            Some(Ok(chunk)) if pace.is_too_slow_with(chunk.len() as u64) => {
                return Err(SendError::Broken(pace.reason().into()).into_failure(&url, 1));
            }
            Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
        }
    }
}
