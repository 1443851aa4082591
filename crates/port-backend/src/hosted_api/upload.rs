//! Sending one file: not at all where the server has it, else from where it is, and again after a cut.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use port_content::fs;
use port_model::{Event, Reporter};
use reqwest::{Body, Method};
use tokio::sync::mpsc;

use super::wire::{Answered, Call, Failed, Status, TRANSFER};
use crate::backend::PublishedFile;
use crate::error::{BackendError, ErrorKind};

/// How much is read at once, in bytes.
const PIECE: u64 = 512 * 1024;
/// How many tries in a row may move nothing.
const TRIES: u32 = 5;

/// What an upload did.
pub(super) struct Sent {
    /// Bytes that the server did not have.
    pub(super) bytes: u64,
    /// Whether the file waits to be published with others.
    pub(super) is_staged: bool,
}

pub(super) async fn upload(
    call: &Call<'_>,
    file: &PublishedFile,
    reporter: &dyn Reporter,
) -> Result<Sent, BackendError> {
    let operation = format!("publish `{}`", file.name);
    let call = Call { operation: &operation, ..*call };
    let mut begun: Option<u64> = None;
    let (mut furthest, mut idle, mut unkept) = (0, 0, 0);
    loop {
        let offset = match call.status(&file.name, &file.digest).await? {
            Answered::Others => {
                send(&call, file, None, reporter).await.map_err(|failed| call.failed(failed))?;
                return Ok(Sent { bytes: file.size, is_staged: false });
            }
            Answered::Ours(Status { held: true, .. }) => {
                return Ok(Sent {
                    bytes: begun.map_or(0, |begun| file.size.saturating_sub(begun)),
                    is_staged: true,
                });
            }
            Answered::Ours(Status { offset, .. }) => offset.min(file.size),
        };
        if offset >= furthest + call.api.patience.progress {
            (furthest, idle) = (offset, 0);
        }
        begun = Some(begun.map_or(offset, |begun| begun.min(offset)));
        match send(&call, file, Some(offset), reporter).await {
            // The next look must find it there: a server that takes files and keeps none is not fed for ever.
            Ok(()) if unkept < TRIES => unkept += 1,
            Ok(()) => {
                let reason = format!("the server took the file {TRIES} times and does not have it");
                return Err(call.failed(Failed::final_of(ErrorKind::Corrupt, reason)));
            }
            Err(failed) if failed.again && idle < TRIES => {
                tokio::time::sleep(call.api.access.pause.saturating_mul(1 << idle)).await;
                idle += 1;
            }
            Err(failed) => return Err(call.failed(failed)),
        }
    }
}

/// Sends the file from `offset`; without one, as every server takes it.
async fn send(
    call: &Call<'_>,
    file: &PublishedFile,
    offset: Option<u64>,
    reporter: &dyn Reporter,
) -> Result<(), Failed> {
    let opened = fs::open_regular(&file.path);
    let (source, metadata) = opened.map_err(|error| Failed::final_of(ErrorKind::Failed, error))?;
    if metadata.len() != file.size {
        let reason = format!("its size changed: expected {} bytes, found {}", file.size, metadata.len());
        return Err(Failed::final_of(ErrorKind::Corrupt, reason));
    }
    let from = offset.unwrap_or(0);
    let request = call.request(Method::POST, "/v1/artifacts:push");
    let request = request
        .header("content-type", "application/octet-stream")
        .header("content-length", file.size.saturating_sub(from))
        .header(TRANSFER, call.metadata(&file.name).to_string());
    let request = match offset {
        Some(offset) => request
            .header("x-port-content-digest", file.digest.to_string())
            .header("x-port-upload-offset", offset)
            .header("x-port-publish", "stage"),
        None => request,
    };
    let task = format!("publish {}", file.name);
    reporter.event(Event::Started { task: task.clone(), total: Some(file.size) });
    reporter.event(Event::Advanced { task: task.clone(), bytes: from });
    let (tell, mut told) = mpsc::unbounded_channel();
    let sending = call.send_unwatched(request.body(body(source, from, file.size, tell)));
    tokio::pin!(sending);
    let mut left = file.size.saturating_sub(from);
    let sent = loop {
        // Anew with each piece that goes; the server has its time with what it has whole.
        let patience = if left > 0 { call.api.patience.stall } else { call.api.patience.commit };
        tokio::select! {
            Some(bytes) = told.recv() => {
                left = left.saturating_sub(bytes);
                reporter.event(Event::Advanced { task: task.clone(), bytes });
            }
            sent = &mut sending => break sent,
            () = tokio::time::sleep(patience) => break Err(Failed::stalled(patience)),
        }
    };
    reporter.event(Event::Finished { task });
    sent.map(drop)
}

/// The bytes of a file from `at` to `end`, telling how many went.
fn body(source: File, at: u64, end: u64, tell: mpsc::UnboundedSender<u64>) -> Body {
    let state = (Arc::new(source), at, tell);
    Body::wrap_stream(stream::try_unfold(state, move |(source, at, tell)| async move {
        let length = end.saturating_sub(at).min(PIECE);
        if length == 0 {
            return Ok(None);
        }
        let reader = Arc::clone(&source);
        let piece = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
            reader.read_exact_at(&mut piece, at)?;
            Ok::<_, io::Error>(Bytes::from(piece))
        });
        let piece = piece.await.map_err(io::Error::other)??;
        // Nobody listens any more where the request has ended.
        let _ = tell.send(length);
        Ok::<_, io::Error>(Some((piece, (source, at + length, tell))))
    }))
}
