//! A connection that bounds what its client can make of it: the bytes of a head, and how slowly it takes an answer.
//!
//! ```text
//! waiting for a head: at most HEAD bytes ──► request ──► any number of bytes (its body has its own limits) ──► answer ──► …
//! ```
//!
//! hyper reads far ahead, which makes bodies fast; without this, that much could be a head.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pace::{LeastRate, Pace};

/// The most bytes that come before a request is known: its head, and what of its body came along.
const HEAD: usize = 64 * 1024;

/// How many bytes a client may send at this moment.
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    /// A request is known: its body may come.
    pub(crate) fn lift(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }

    /// The request is answered: what comes is the next head.
    pub(crate) fn restore(&self) {
        self.0.store(HEAD, Ordering::Relaxed);
    }
}

/// See the module.
pub(crate) struct Guarded<S> {
    inner: S,
    budget: Arc<Budget>,
    taking: Pace,
}

impl<S> Guarded<S> {
    pub(crate) fn new(inner: S, rate: LeastRate) -> Self {
        Self { inner, budget: Arc::new(Budget(AtomicUsize::new(HEAD))), taking: Pace::new(rate) }
    }

    pub(crate) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    /// Counts what a write did.
    fn taken(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let slow = |slow| io::Error::new(io::ErrorKind::TimedOut, slow);
        match written {
            Poll::Ready(Ok(bytes)) => {
                Poll::Ready(self.taking.moves(bytes as u64).map(|()| bytes).map_err(slow))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.taking.waits(context) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(slow(error))),
            },
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let allowed = self.budget.0.load(Ordering::Relaxed);
        if allowed == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the request's head is too large",
            )));
        }
        if allowed == usize::MAX {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let most = allowed.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        let read = Pin::new(&mut self.inner).poll_read(context, &mut part);
        let length = part.filled().len();
        buffer.advance(length);
        // Lifted meanwhile by the other half of the connection: then it stays lifted.
        let _ =
            self.budget.0.compare_exchange(allowed, allowed - length, Ordering::Relaxed, Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.taken(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.taken(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context).map_ok(|()| 0);
        self.taken(context, flushed).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.inner).poll_shutdown(context).map_ok(|()| 0);
        self.taken(context, ended).map_ok(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const RATE: LeastRate = LeastRate { span: Duration::from_secs(30), bytes_per_second: 1024 };

    #[tokio::test]
    async fn a_head_is_bounded_and_a_body_is_not() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut server = Guarded::new(server, RATE);
        client.write_all(&vec![b'x'; 4 * HEAD]).await.unwrap();
        drop(client);
        let mut taken = vec![0; HEAD];
        server.read_exact(&mut taken).await.unwrap();
        assert_eq!(server.read(&mut [0; 10]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        server.budget().lift();
        let mut rest = Vec::new();
        assert_eq!(server.read_to_end(&mut rest).await.unwrap(), 3 * HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_dropped_and_an_idle_one_is_not() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut server = Guarded::new(server, RATE);
        server.write_all(&[0; 512]).await.unwrap();
        client.read_exact(&mut [0; 512]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        server.write_all(&[0; 512]).await.unwrap();
        assert_eq!(server.write_all(&[0; 4096]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
