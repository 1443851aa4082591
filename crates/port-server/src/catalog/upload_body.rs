//! What arrives for an upload: gathered into large pieces, so that few writes and few hops between threads are needed.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client went away, or sent something else than it announced.
    #[error("the request's body ended early")]
    Cut(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client sends slower than it must.
    #[error(transparent)]
    Slow(#[from] crate::pace::TooSlow),
    /// There was more than may come.
    #[error("the request's body is larger than {limit} bytes")]
    TooLarge {
        /// What may come.
        limit: u64,
    },
}

/// A body as it arrives.
pub type BodyStream = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// The next piece, of `size` bytes or a little more; empty at the end. What came before an error is given first.
pub(super) struct Pieces {
    body: BodyStream,
    error: Option<BodyError>,
    ended: bool,
}

impl Pieces {
    pub(super) fn new(body: BodyStream) -> Self {
        Self { body, error: None, ended: false }
    }

    pub(super) async fn next(&mut self, size: u64) -> Result<Bytes, BodyError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut piece = BytesMut::new();
        while !self.ended && (piece.len() as u64) < size {
            match self.body.next().await {
                Some(Ok(bytes)) => piece.extend_from_slice(&bytes),
                Some(Err(error)) if piece.is_empty() => {
                    self.ended = true;
                    return Err(error);
                }
                Some(Err(error)) => {
                    self.ended = true;
                    self.error = Some(error);
                }
                None => self.ended = true,
            }
        }
        Ok(piece.freeze())
    }
}
