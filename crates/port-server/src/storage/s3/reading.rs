//! Large objects as streams: a part or the whole, gathered into pieces, continued where an answer breaks off.
//!
//! Memory is one piece. What is continued is the same object: `If-Match` names what the first answer was of.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::{Method, Response};

use super::super::{ByteRange, ByteStream, Content};
use super::client::{Answer, Client, Request, TRIES, Take};
use super::failure::Failure;

/// How much is handed on at once, in bytes.
const PIECE: usize = 256 * 1024;

/// Opens an object; nothing where there is none.
pub(super) async fn open(
    client: &Arc<Client>,
    key: &str,
    range: Option<ByteRange>,
) -> Result<Option<Content>, Failure> {
    let request = Request::new(Method::GET, key);
    let request = match range {
        Some(range) => request.header("range", format!("bytes={}-{}", range.first, range.last)),
        None => request,
    };
    let answer = match client.send(&request, Take::Head).await {
        Ok(answer) => answer,
        Err(failure) if failure.is_absent() => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let (first, size) = extent(&answer, range.is_some())?;
    let end = range.map_or(size, |range| range.last.saturating_add(1).min(size));
    if range.is_some_and(|range| range.first != first) {
        return Err(Failure::Malformed("is of another range"));
    }
    let stream = streamed(Reading {
        client: Arc::clone(client),
        key: key.to_owned(),
        etag: answer.etag()?,
        at: first,
        end,
        response: answer.response,
        tried: 0,
    });
    Ok(Some(Content { size, stream }))
}

/// Reads an object that is known to be there and this one, as one stream after the other.
pub(super) fn continued(client: &Arc<Client>, key: &str, etag: &str, size: u64) -> ByteStream {
    streamed(Reading {
        client: Arc::clone(client),
        key: key.to_owned(),
        etag: etag.to_owned(),
        at: 0,
        end: size,
        response: None,
        tried: 0,
    })
}

/// Where an answer's first byte lies, and how large the object is.
fn extent(answer: &Answer, ranged: bool) -> Result<(u64, u64), Failure> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let found = match answer.header("content-range") {
        Some(text) => text.strip_prefix("bytes ").and_then(|text| {
            let (range, size) = text.split_once('/')?;
            Some((number(range.split_once('-')?.0)?, number(size)?))
        }),
        // NOTE: a server that ignores ranges sends the whole; that is not read away in the dark.
        None if ranged => None,
        None => answer.header("content-length").and_then(number).map(|size| (0, size)),
    };
    found.ok_or(Failure::Malformed("does not say which bytes it has"))
}

struct Reading {
    client: Arc<Client>,
    key: String,
    etag: String,
    at: u64,
    end: u64,
    response: Option<Response>,
    /// How often nothing came.
    tried: u32,
}

fn streamed(reading: Reading) -> ByteStream {
    Box::pin(stream::try_unfold(reading, |mut reading| async move {
        let piece = reading.piece().await.map_err(io::Error::other)?;
        Ok((!piece.is_empty()).then_some((piece, reading)))
    }))
}

impl Reading {
    /// The next piece; empty at the end.
    async fn piece(&mut self) -> Result<Bytes, Failure> {
        let mut piece = BytesMut::new();
        while self.at < self.end && piece.len() < PIECE {
            if self.response.is_none() {
                // Asking is tried often enough by itself.
                self.response = Some(self.again().await?);
            }
            match self.some().await {
                Ok(some) => {
                    self.at += some.len() as u64;
                    self.tried = 0;
                    piece.extend_from_slice(&some);
                }
                Err(failure) if failure.is_passing() && self.tried < TRIES => {
                    self.response = None;
                    self.tried += 1;
                    self.client.wait(self.tried).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(piece.freeze())
    }

    /// What comes next, never more than is missing.
    async fn some(&mut self) -> Result<Bytes, Failure> {
        let missing = self.end.saturating_sub(self.at);
        let response = self.response.as_mut().ok_or(Failure::Malformed("has no body"))?;
        let some = self.client.chunk(response).await?;
        let mut some = some.ok_or(Failure::Cut { expected: self.end, found: self.at })?;
        some.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
        Ok(some)
    }

    async fn again(&self) -> Result<Response, Failure> {
        let request = Request::new(Method::GET, &self.key)
            .header("range", format!("bytes={}-{}", self.at, self.end.saturating_sub(1)))
            .header("if-match", &self.etag);
        let answer = self.client.send(&request, Take::Head).await?;
        if extent(&answer, true)?.0 != self.at {
            return Err(Failure::Malformed("is of another range"));
        }
        answer.response.ok_or(Failure::Malformed("has no body"))
    }
}
