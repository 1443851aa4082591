//! One running operation: frames from the host while it takes input, frames from the agent until its last.
//!
//! Reading and writing go on side by side: a host that only wrote would wait for an agent that only writes. When
//! the agent's last frame comes, unsent input is dropped, as with a pipe whose reader has ended.
//!
//! A stream over virtio-serial does not break when the agent or its machine stops, so the host takes the pulse: a
//! ping at every interval in which nothing came. An agent at work refuses it, which is a sign of life; one that
//! answers it has nothing to do, so it is not the one that was asked. Any byte is a sign of life.

use std::convert::Infallible;
use std::time::Duration;

use port_guest_protocol::{
    AgentFrame, AgentLine, Channel, HostFrame, MAX_CHUNK, Operation, Request, RequestId, Response,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::AgentError;
use super::connection::{Connection, FrameOrEnd, Incoming, Outgoing};

/// How often the pulse is taken.
pub(super) const PULSE: Duration = Duration::from_secs(5);
/// How many intervals without a byte are the end.
pub(super) const SILENT_INTERVALS: u32 = 5;

/// What the operation gets to read.
pub(super) enum Input<'a> {
    /// Nothing, and no word that there is nothing: the operation takes no input.
    Unused,
    /// These bytes, then the end.
    Reader(&'a mut (dyn AsyncRead + Send + Unpin)),
    /// These frames, then the end.
    Frames(&'a mut mpsc::Receiver<HostFrame>),
}

/// Takes an operation's output as it comes; an error breaks the operation off.
pub type OnOutput<'a> = &'a mut (dyn FnMut(Channel, &[u8]) -> std::io::Result<()> + Send);

/// Where the operation's output goes.
pub(super) enum Output<'a> {
    Call(OnOutput<'a>),
    Writer(&'a mut (dyn AsyncWrite + Send + Unpin)),
}

/// How an operation ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Exit(i32),
    Eof,
}

/// Takes the pulse of the agent.
struct Pulse {
    interval: Duration,
    prefix: String,
    taken: u64,
    silent: u32,
}

impl Pulse {
    fn new(id: &RequestId, interval: Duration) -> Self {
        Self { interval, prefix: format!("{id}-pulse-"), taken: 0, silent: 0 }
    }

    /// After an interval: the id of the ping to send, or the end. Intervals are counted, not the time since the
    /// last byte: a host that was stopped or held up by its own output has not listened.
    fn take(&mut self, operation: &'static str, heard: bool) -> Result<RequestId, AgentError> {
        self.silent = if heard { 0 } else { self.silent + 1 };
        if self.silent > SILENT_INTERVALS {
            return Err(AgentError::Silent { operation, waited: self.interval * SILENT_INTERVALS });
        }
        self.taken += 1;
        Ok(RequestId::Text(format!("{}{}", self.prefix, self.taken)))
    }

    fn is_own(prefix: &str, id: &RequestId) -> bool {
        matches!(id, RequestId::Text(text) if text.starts_with(prefix))
    }
}

/// Sends a request and waits for the answer that says whether it begins, taking the pulse meanwhile: the agent may
/// have ended with the request in its hands.
pub(super) async fn begin(
    connection: &mut Connection,
    operation: &'static str,
    request: Request,
    interval: Duration,
) -> Result<Response, AgentError> {
    let protocol = |source| AgentError::Protocol { operation, source };
    let id = request.id.clone();
    let mut pulse = Pulse::new(&id, interval);
    connection.is_busy = true;
    let mut due = Some(request);
    loop {
        if let Some(request) = due.take() {
            // Blocked where nobody reads at the other end.
            let waited = interval * SILENT_INTERVALS;
            let sent = tokio::time::timeout(waited, connection.outgoing.send(&request)).await;
            sent.map_err(|_| AgentError::Silent { operation, waited })?.map_err(protocol)?;
        }
        match tokio::time::timeout(interval, connection.incoming.next()).await {
            Ok(line) => match line.map_err(protocol)? {
                AgentLine::Response(Response::Completed { id, .. }) if Pulse::is_own(&pulse.prefix, &id) => {
                    return Err(AgentError::Restarted { operation });
                }
                AgentLine::Response(response) if response.id().is_none_or(|found| *found == id) => {
                    connection.is_busy = matches!(response, Response::Accepted { .. });
                    return Ok(response);
                }
                _ => {}
            },
            Err(_) => {
                let id = pulse.take(operation, connection.incoming.take_heard())?;
                due = Some(Request { id, operation: Operation::Ping {} });
            }
        }
    }
}

/// Carries one accepted operation to its end.
pub(super) async fn carry(
    connection: &mut Connection,
    operation: &'static str,
    id: &RequestId,
    input: Input<'_>,
    mut output: Output<'_>,
    interval: Duration,
) -> Result<End, AgentError> {
    let Connection { incoming, outgoing, is_busy } = connection;
    let (pings, mut due) = mpsc::channel(1);
    let feeding = feed(outgoing, operation, input, &mut due);
    tokio::pin!(feeding);
    let mut pulse = Pulse::new(id, interval);
    loop {
        let message = tokio::select! {
            // Output first: what the agent says may be its last, and decides.
            biased;
            message = next(incoming, operation, id, &mut pulse, &pings) => message?,
            fed = &mut feeding => match fed? {},
        };
        let end = match message {
            FrameOrEnd::Frame(AgentFrame::Data { channel, data }) => {
                output.take(operation, channel, &data).await?;
                continue;
            }
            FrameOrEnd::Idle => return Err(AgentError::Restarted { operation }),
            FrameOrEnd::Frame(AgentFrame::Exit { code }) => Ok(End::Exit(code)),
            FrameOrEnd::Frame(AgentFrame::Eof {}) => Ok(End::Eof),
            FrameOrEnd::Frame(AgentFrame::Error { message }) => {
                Err(AgentError::Failed { operation, message, exit_code: None })
            }
            FrameOrEnd::End(Response::Completed { exit_code, .. }) => Ok(End::Exit(exit_code)),
            FrameOrEnd::End(other) => Err(AgentError::refused(operation, other)),
        };
        *is_busy = false;
        return end;
    }
}

/// The agent's next message; takes the pulse while there is none.
async fn next(
    incoming: &mut Incoming,
    operation: &'static str,
    id: &RequestId,
    pulse: &mut Pulse,
    pings: &mpsc::Sender<RequestId>,
) -> Result<FrameOrEnd, AgentError> {
    loop {
        let prefix = &pulse.prefix;
        let waited = incoming.next_frame(id, |id| Pulse::is_own(prefix, id));
        match tokio::time::timeout(pulse.interval, waited).await {
            Ok(message) => {
                pulse.silent = 0;
                incoming.take_heard();
                return message.map_err(|source| AgentError::Protocol { operation, source });
            }
            Err(_) => {
                let ping = pulse.take(operation, incoming.take_heard())?;
                // Full while input is on its way to an agent that does not take it: then its silence counts alone.
                let _ = pings.try_send(ping);
            }
        }
    }
}

/// Sends the input and the pings that are due; ends only when it cannot.
async fn feed(
    outgoing: &mut Outgoing,
    operation: &'static str,
    mut input: Input<'_>,
    due: &mut mpsc::Receiver<RequestId>,
) -> Result<Infallible, AgentError> {
    let protocol = |source| AgentError::Protocol { operation, source };
    let mut chunk = vec![0; MAX_CHUNK];
    loop {
        let frame = tokio::select! {
            biased;
            ping = due.recv() => match ping {
                Some(id) => {
                    let request = Request { id, operation: Operation::Ping {} };
                    outgoing.send(&request).await.map_err(protocol)?;
                    continue;
                }
                None => std::future::pending().await,
            },
            frame = input.next(operation, &mut chunk) => frame?,
        };
        if frame == (HostFrame::Close {}) {
            input = Input::Unused;
        }
        outgoing.send(&frame).await.map_err(protocol)?;
    }
}

impl Input<'_> {
    /// The next frame to send, the last one being `close`.
    async fn next(&mut self, operation: &'static str, chunk: &mut [u8]) -> Result<HostFrame, AgentError> {
        match self {
            Self::Unused => std::future::pending().await,
            Self::Reader(reader) => {
                let read = reader.read(chunk).await;
                let length =
                    read.map_err(|source| AgentError::Local { operation, what: "read the input", source })?;
                if length == 0 {
                    return Ok(HostFrame::Close {});
                }
                Ok(HostFrame::Input { data: chunk.get(..length).unwrap_or_default().to_vec() })
            }
            Self::Frames(frames) => Ok(frames.recv().await.unwrap_or(HostFrame::Close {})),
        }
    }
}

impl Output<'_> {
    async fn take(
        &mut self,
        operation: &'static str,
        channel: Channel,
        data: &[u8],
    ) -> Result<(), AgentError> {
        let taken = match self {
            Self::Call(call) => call(channel, data),
            Self::Writer(writer) => match writer.write_all(data).await {
                Ok(()) => writer.flush().await,
                broken => broken,
            },
        };
        taken.map_err(|source| AgentError::Local { operation, what: "write the output", source })
    }
}
