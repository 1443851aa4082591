//! Bodies of requests.

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, BodyStream, Limited};
use hyper::body::Incoming;

use crate::catalog::{BodyError, BodyStream as Pieces};

/// A body of any size, as it arrives.
pub(crate) fn incoming(body: Incoming) -> Pieces {
    let frames = BodyStream::new(body).filter_map(|frame| async {
        match frame {
            // Trailers carry nothing that anybody asks for.
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(BodyError::Cut(error.into()))),
        }
    });
    Box::pin(frames)
}

/// A body of at most `limit` bytes, whole.
pub(crate) async fn read_small(body: Incoming, limit: u64) -> Result<Bytes, BodyError> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(BodyError::TooLarge { limit }),
        Err(error) => Err(BodyError::Cut(error)),
    }
}
