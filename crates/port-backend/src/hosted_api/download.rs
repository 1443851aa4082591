//! Fetching one file: what lies at the target is continued where the digest can tell whether it belongs there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use port_content::fs::{self, Context as _};
use port_content::hashing::Hasher;
use port_content::sparse;
use port_model::{Event, FileName, Reporter};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::time::Instant;

use super::patience::Pace;
use super::wire::{Call, Failed};
use crate::backend::{Check, Fetched, FoundFile};
use crate::error::{BackendError, ErrorKind};

/// How many tries in a row may move nothing.
const TRIES: u32 = 5;

fn request(call: &Call<'_>, file: &FileName) -> reqwest::RequestBuilder {
    let request = call.request(Method::POST, "/v1/artifacts:pull");
    request.header("content-type", "application/json").body(call.metadata(file).to_string())
}

/// The size of a file at a server that cannot list it: it is asked for, and the answer is not read.
pub(super) async fn size(call: &Call<'_>, file: &FileName) -> Result<u64, BackendError> {
    let response = call.send(request(call, file)).await.map_err(|failed| call.failed(failed))?;
    response.content_length().ok_or_else(|| {
        call.failed(Failed::final_of(ErrorKind::Corrupt, "the server does not say how large the file is"))
    })
}

/// A file on its way.
struct Download<'a> {
    file: File,
    hasher: Hasher,
    wanted: &'a FoundFile,
    /// Bytes that came over the network.
    moved: u64,
}

pub(super) async fn download(
    call: &Call<'_>,
    wanted: &FoundFile,
    target: &Path,
    reporter: &dyn Reporter,
) -> Result<Fetched, BackendError> {
    let local = |error: fs::FsError| call.failed(Failed::final_of(ErrorKind::Failed, error));
    let mut download = begin(wanted, target).map_err(local)?;
    let task = format!("fetch {}", wanted.name);
    reporter.event(Event::Started { task: task.clone(), total: Some(wanted.size) });
    reporter.event(Event::Advanced { task: task.clone(), bytes: download.hasher.size() });
    let continued = download.hasher.size() > 0;
    let mut result = gather(call, &mut download, &task, reporter).await;
    if continued && result.is_ok() && !download.is_right() {
        // What lay there was something else.
        let moved = download.moved;
        fs::remove_file(target).map_err(local)?;
        download = Download { moved, ..begin(wanted, target).map_err(local)? };
        result = gather(call, &mut download, &task, reporter).await;
    }
    reporter.event(Event::Finished { task });
    result.map_err(|failed| call.failed(failed))?;
    let found = wanted.size.saturating_sub(download.moved);
    let (moved, check) = (download.moved, download.check().map_err(|failed| call.failed(failed))?);
    Ok(Fetched { check, moved, found })
}

/// Opens the target, and takes in what it has where the digest will tell whether that was right.
fn begin<'a>(wanted: &'a FoundFile, target: &Path) -> Result<Download<'a>, fs::FsError> {
    let algorithm = wanted.digest.as_ref().map(port_model::Digest::algorithm);
    let mut hasher = algorithm.map_or_else(Hasher::default, Hasher::of);
    let file = fs::open_writable(target)?;
    let length = file.metadata().context("inspect", target)?.len();
    if wanted.digest.is_some() && length <= wanted.size {
        sparse::hash_to(&file, &mut hasher, length).context("read", target)?;
    } else {
        file.set_len(0).context("empty", target)?;
    }
    Ok(Download { file, hasher, wanted, moved: 0 })
}

async fn gather(
    call: &Call<'_>,
    download: &mut Download<'_>,
    task: &str,
    reporter: &dyn Reporter,
) -> Result<(), Failed> {
    let (mut idle, mut furthest) = (0, download.hasher.size());
    while download.hasher.size() < download.wanted.size {
        match download.attempt(call, task, reporter).await {
            Ok(()) => {}
            Err(failed) if failed.again && idle < TRIES => {
                // A byte more is no progress: a server that cuts after each would be asked for ever.
                idle += 1;
                if download.hasher.size() >= furthest + call.api.patience.progress {
                    (furthest, idle) = (download.hasher.size(), 0);
                }
                tokio::time::sleep(call.api.access.pause.saturating_mul(1 << idle)).await;
            }
            Err(failed) => return Err(failed),
        }
    }
    Ok(())
}

impl Download<'_> {
    async fn attempt(&mut self, call: &Call<'_>, task: &str, reporter: &dyn Reporter) -> Result<(), Failed> {
        let have = self.hasher.size();
        let mut asked = request(call, &self.wanted.name);
        if have > 0 {
            asked = asked.header(RANGE, format!("bytes={have}-"));
        }
        let mut response = call.send(asked).await?;
        self.accept(&response, have)?;
        let mut pace = Pace::new(call.api.patience);
        let mut since = Instant::now();
        while let Some(piece) = call.piece(&mut response).await? {
            if !pace.keeps(since, piece.len() as u64) {
                return Err(Failed::too_slow(call.api.patience));
            }
            if self.hasher.size() + piece.len() as u64 > self.wanted.size {
                let reason = format!("the server sends more than {} bytes", self.wanted.size);
                return Err(Failed::final_of(ErrorKind::Corrupt, reason));
            }
            self.write(&piece).map_err(|error| Failed::final_of(ErrorKind::Failed, error))?;
            self.moved += piece.len() as u64;
            reporter.event(Event::Advanced { task: task.to_owned(), bytes: piece.len() as u64 });
            since = Instant::now();
        }
        if self.hasher.size() < self.wanted.size {
            return Err(cut("the answer ended early"));
        }
        Ok(())
    }

    /// Whether the body of an answer continues what is here. One that begins anew is taken from its beginning.
    fn accept(&mut self, response: &Response, have: u64) -> Result<(), Failed> {
        if have == 0 {
            return Ok(());
        }
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            if range.is_some_and(|range| range.starts_with(&format!("bytes {have}-"))) {
                return Ok(());
            }
            let reason =
                format!("asked for the bytes from {have} on, the server sent `{}`", range.unwrap_or(""));
            return Err(Failed::final_of(ErrorKind::Corrupt, reason));
        }
        self.hasher =
            self.wanted.digest.as_ref().map_or_else(Hasher::default, |it| Hasher::of(it.algorithm()));
        self.file.set_len(0).map_err(|error| Failed::final_of(ErrorKind::Failed, error))
    }

    /// Writes at the end; runs of zeros become holes.
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let at = self.hasher.size();
        let mut position = at;
        for block in piece.chunks(sparse::BLOCK) {
            if block.iter().any(|byte| *byte != 0) {
                self.file.write_all_at(block, position)?;
            }
            position += block.len() as u64;
        }
        self.file.set_len(position)?;
        self.hasher.update(piece);
        Ok(())
    }

    fn is_right(&self) -> bool {
        self.wanted.digest.as_ref().is_none_or(|expected| self.hasher.clone().finish() == *expected)
    }

    fn check(self) -> Result<Check, Failed> {
        let Some(expected) = &self.wanted.digest else { return Ok(Check::Callers) };
        let found = self.hasher.finish();
        if found == *expected {
            return Ok(Check::Done);
        }
        Err(Failed::final_of(ErrorKind::Corrupt, format!("expected {expected}, found {found}")))
    }
}

fn cut(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failed {
    Failed { kind: ErrorKind::Unavailable, reason: reason.into(), again: true }
}
