//! Answers.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::storage::ByteStream;

/// What goes back to the client.
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, io::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(whole(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// An answer with these bytes.
pub(crate) fn with(status: StatusCode, media_type: &str, bytes: Bytes) -> Answer {
    let answer = Response::new(whole(bytes));
    let mut answer = answer.set("content-type", media_type);
    *answer.status_mut() = status;
    answer
}

/// An answer with this document.
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Answer {
    // Our documents hold strings and numbers, which always have a JSON form.
    let bytes = serde_json::to_vec(document).unwrap_or_default();
    with(status, "application/json", bytes.into())
}

/// An answer whose body is read from the storage while it is sent.
pub(crate) fn streamed(status: StatusCode, length: u64, stream: ByteStream) -> Answer {
    use futures_util::StreamExt as _;
    let frames = stream.map(|piece| piece.map(Frame::data));
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer
}

/// Adds headers.
pub(crate) trait Set: Sized {
    /// Sets a header; a value that cannot be one is left out.
    fn set(self, name: &'static str, value: impl AsRef<str>) -> Self;

    /// A header as text.
    fn header(&self, name: &str) -> Option<String>;
}

impl Set for Answer {
    fn set(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers_mut().insert(name, value);
        }
        self
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}
