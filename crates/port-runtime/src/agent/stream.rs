//! One running operation: frames from the host while it takes input, frames from the agent until its last.
//!
//! Reading and writing go on side by side: a host that only wrote would wait for an agent that only writes. When
//! the agent's last frame comes, unsent input is dropped, as with a pipe whose reader has ended.

use port_guest_protocol::{AgentFrame, Channel, HostFrame, MAX_CHUNK, RequestId, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::AgentError;
use super::connection::{Connection, FrameOrEnd, Outgoing};

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

/// Carries one accepted operation to its end.
pub(super) async fn carry(
    connection: &mut Connection,
    operation: &'static str,
    id: &RequestId,
    input: Input<'_>,
    mut output: Output<'_>,
) -> Result<End, AgentError> {
    let Connection { incoming, outgoing, is_busy } = connection;
    let protocol = |source| AgentError::Protocol { operation, source };
    let feeding = feed(outgoing, operation, input);
    tokio::pin!(feeding);
    let mut is_feeding = true;
    loop {
        let message = tokio::select! {
            // Output first: what the agent says may be its last, and decides.
            biased;
            message = incoming.next_frame(id) => message.map_err(protocol)?,
            fed = &mut feeding, if is_feeding => {
                fed?;
                is_feeding = false;
                continue;
            }
        };
        match message {
            FrameOrEnd::Frame(AgentFrame::Data { channel, data }) => {
                output.take(operation, channel, &data).await?
            }
            FrameOrEnd::Frame(AgentFrame::Exit { code }) => {
                *is_busy = false;
                return Ok(End::Exit(code));
            }
            FrameOrEnd::Frame(AgentFrame::Eof {}) => {
                *is_busy = false;
                return Ok(End::Eof);
            }
            FrameOrEnd::Frame(AgentFrame::Error { message }) => {
                *is_busy = false;
                return Err(AgentError::Failed { operation, message, exit_code: None });
            }
            FrameOrEnd::End(Response::Completed { exit_code, .. }) => {
                *is_busy = false;
                return Ok(End::Exit(exit_code));
            }
            FrameOrEnd::End(other) => {
                *is_busy = false;
                return Err(AgentError::refused(operation, other));
            }
        }
    }
}

async fn feed(outgoing: &mut Outgoing, operation: &'static str, input: Input<'_>) -> Result<(), AgentError> {
    let protocol = |source| AgentError::Protocol { operation, source };
    match input {
        Input::Unused => return Ok(()),
        Input::Reader(reader) => {
            let mut chunk = vec![0; MAX_CHUNK];
            loop {
                let read = reader.read(&mut chunk).await;
                let length =
                    read.map_err(|source| AgentError::Local { operation, what: "read the input", source })?;
                if length == 0 {
                    break;
                }
                let data = chunk.get(..length).unwrap_or_default().to_vec();
                outgoing.send(&HostFrame::Input { data }).await.map_err(protocol)?;
            }
        }
        Input::Frames(frames) => {
            while let Some(frame) = frames.recv().await {
                outgoing.send(&frame).await.map_err(protocol)?;
            }
        }
    }
    outgoing.send(&HostFrame::Close {}).await.map_err(protocol)
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
