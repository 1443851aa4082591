//! Bodies of requests. Who sends one slower than it must is cut off.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, BodyStream, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::catalog::{BodyError, BodyStream as Pieces};
use crate::pace::{LeastRate, Pace, TooSlow, waiting};

/// What comes behind a request's head.
pub(crate) struct RequestBody {
    incoming: Incoming,
    pace: Pace,
}

/// Why it ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestBodyError {
    #[error(transparent)]
    Slow(#[from] TooSlow),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, rate: LeastRate) -> Self {
        Self { incoming, pace: Pace::new(rate) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                Poll::Ready(Some(self.pace.moves(length).map(|()| frame).map_err(RequestBodyError::from)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => waiting(&mut self.pace, context).map(|slow| Some(slow.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

fn ended(error: RequestBodyError) -> BodyError {
    match error {
        RequestBodyError::Slow(slow) => BodyError::Slow(slow),
        RequestBodyError::Broken(error) => BodyError::Cut(error.into()),
    }
}

/// A body of any size, as it arrives.
pub(crate) fn incoming(body: RequestBody) -> Pieces {
    let frames = BodyStream::new(body).filter_map(|frame| async {
        match frame {
            // Trailers carry nothing that anybody asks for.
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(ended(error))),
        }
    });
    Box::pin(frames)
}

/// A body of at most `limit` bytes, whole.
pub(crate) async fn read_small(body: RequestBody, limit: u64) -> Result<Bytes, BodyError> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(BodyError::TooLarge { limit }),
        Err(error) => Err(error.downcast().map_or_else(BodyError::Cut, |error| ended(*error))),
    }
}
