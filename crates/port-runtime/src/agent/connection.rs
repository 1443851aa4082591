//! One byte stream to the agent, as lines: what may be sent, what comes back, and whether both sides still agree
//! on where they are.

use std::fmt;

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
                length => self.lines.push(self.chunk.get(..length).unwrap_or_default()),
            }
        }
    }

    /// The next frame of a running operation.
    pub(crate) async fn next_frame(&mut self, id: &RequestId) -> Result<FrameOrEnd, ProtocolError> {
        loop {
            match self.next().await? {
                AgentLine::Frame(frame) => return Ok(FrameOrEnd::Frame(frame)),
                AgentLine::Response(response) if response.id() == Some(id) => {
                    return Ok(FrameOrEnd::End(response));
                }
                AgentLine::Response(_) => {}
            }
        }
    }
}

/// What comes inside a stream: frames, or, from agents that end streams so, a response.
#[derive(Debug)]
pub(crate) enum FrameOrEnd {
    Frame(AgentFrame),
    End(Response),
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
