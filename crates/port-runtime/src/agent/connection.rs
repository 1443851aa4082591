//! One byte stream to the agent, as lines: what may be sent, what comes back, and whether both sides still agree
//! on where they are.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use port_guest_protocol::{
    AgentFrame, AgentLine, LineBuffer, MAX_AGENT_LINE, Operation, ProtocolError, Request, RequestId,
    Response, decode_agent_line, encode_line,
};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

/// What carries the protocol: a Unix socket, a vsock connection, a test's pipe.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The reading half.
pub(crate) struct Incoming {
    stream: ReadHalf<Box<dyn Stream>>,
    lines: LineBuffer,
    chunk: Vec<u8>,
    /// Whether anything came since [`Incoming::take_heard`] was last asked: also the part of a long line.
    heard: bool,
    excerpt: Excerpt,
}

/// The first bytes that came before an agent was known to be there: they tell what else answers. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Excerpt(Arc<Mutex<Vec<u8>>>);

/// How much an excerpt holds, in bytes.
const EXCERPT: usize = 120;

impl Excerpt {
    fn take(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = EXCERPT.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(room));
    }

    /// What was said, with escapes for what no terminal should see; none where nothing was.
    pub(crate) fn text(&self) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!kept.is_empty()).then(|| kept.trim_ascii().escape_ascii().to_string())
    }
}

/// The writing half.
pub(crate) struct Outgoing {
    stream: WriteHalf<Box<dyn Stream>>,
    /// A line was begun and not ended: its future was dropped.
    is_mid_line: bool,
}

/// Both halves.
pub(crate) struct Connection {
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    /// A request was sent and its last message has not come.
    pub(crate) is_busy: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_busy", &self.is_busy).finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            incoming: Incoming {
                stream: reader,
                lines: LineBuffer::new(MAX_AGENT_LINE),
                chunk: vec![0; 64 * 1024],
                heard: false,
                excerpt: Excerpt::default(),
            },
            outgoing: Outgoing { stream: writer, is_mid_line: false },
            is_busy: false,
        }
    }

    /// Sends a request. From here until its last message the connection is busy.
    pub(crate) async fn request(
        &mut self,
        id: &RequestId,
        operation: Operation,
    ) -> Result<(), ProtocolError> {
        self.is_busy = true;
        self.outgoing.send(&Request { id: id.clone(), operation }).await
    }

    /// The response to `id`. What belongs to earlier requests is skipped: after a resynchronisation, or when a
    /// ping was repeated, such answers are still on their way.
    pub(crate) async fn response(&mut self, id: &RequestId) -> Result<Response, ProtocolError> {
        loop {
            if let AgentLine::Response(response) = self.incoming.next().await?
                && response.id().is_none_or(|found| found == id)
            {
                self.is_busy = matches!(response, Response::Accepted { .. });
                return Ok(response);
            }
        }
    }

    /// Whether the two sides may disagree on where they are.
    pub(crate) fn is_out_of_step(&self) -> bool {
        self.is_busy || self.outgoing.is_mid_line
    }

    /// Asks for what gets both sides in step: an empty line ends a half-sent one and cancels what runs, and the
    /// answer to a ping whose id nobody used before is the end of everything that was still on its way.
    pub(crate) async fn begin_resynchronising(&mut self, id: &RequestId) -> Result<(), ProtocolError> {
        self.is_busy = true;
        self.outgoing.send_raw(b"\n").await?;
        self.outgoing.send(&Request { id: id.clone(), operation: Operation::Ping {} }).await
    }

    /// Gets back in step.
    pub(crate) async fn resynchronise(&mut self, id: &RequestId) -> Result<(), ProtocolError> {
        self.begin_resynchronising(id).await?;
        loop {
            // A line that cannot be read is part of what is left behind.
            if let Ok(AgentLine::Response(response)) = self.incoming.next_or_garbage().await?
                && response.id() == Some(id)
            {
                self.is_busy = false;
                return Ok(());
            }
        }
    }
}

impl Incoming {
    /// The agent's next message.
    pub(crate) async fn next(&mut self) -> Result<AgentLine, ProtocolError> {
        self.next_or_garbage().await?
    }

    /// The inner error is a line that is no message, the outer one the end of the stream.
    async fn next_or_garbage(&mut self) -> Result<Result<AgentLine, ProtocolError>, ProtocolError> {
        loop {
            if let Some(line) = self.lines.next_line() {
                return Ok(line.and_then(|line| decode_agent_line(&line)));
            }
            let read = self.stream.read(&mut self.chunk).await;
            match read.map_err(|source| ProtocolError::Stream { operation: "read", source })? {
                0 => return Err(ProtocolError::EndOfStream { partial: self.lines.partial() }),
                length => {
                    let bytes = self.chunk.get(..length).unwrap_or_default();
                    self.heard = true;
                    self.excerpt.take(bytes);
                    self.lines.push(bytes);
                }
            }
        }
    }

    /// The next frame of a running operation. `is_pulse` knows the ids of the pings sent meanwhile.
    pub(crate) async fn next_frame(
        &mut self,
        id: &RequestId,
        is_pulse: impl Fn(&RequestId) -> bool,
    ) -> Result<FrameOrEnd, ProtocolError> {
        loop {
            match self.next().await? {
                AgentLine::Frame(frame) => return Ok(FrameOrEnd::Frame(frame)),
                AgentLine::Response(response) if response.id() == Some(id) => {
                    return Ok(FrameOrEnd::End(response));
                }
                // An agent with something to do refuses a ping; only an idle one answers it.
                AgentLine::Response(Response::Completed { id, .. }) if is_pulse(&id) => {
                    return Ok(FrameOrEnd::Idle);
                }
                AgentLine::Response(_) => {}
            }
        }
    }

    /// Whether anything came since this was last asked.
    pub(crate) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Lets `excerpt` have what comes from here on.
    pub(crate) fn share(&mut self, excerpt: Excerpt) {
        self.excerpt = excerpt;
    }
}

/// What comes inside a stream: frames, or, from agents that end streams so, a response.
#[derive(Debug)]
pub(crate) enum FrameOrEnd {
    Frame(AgentFrame),
    End(Response),
    /// The agent runs nothing.
    Idle,
}

impl Outgoing {
    pub(crate) async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), ProtocolError> {
        self.send_raw(&encode_line(message)?).await
    }

    async fn send_raw(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        self.is_mid_line = true;
        let sent = async {
            self.stream.write_all(line).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|source| ProtocolError::Stream { operation: "write", source })?;
        self.is_mid_line = false;
        Ok(())
    }
}
