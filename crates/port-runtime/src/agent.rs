//! The asynchronous client of the guest agent: one method for each operation of the guest protocol.
//!
//! Over vsock each request has a connection of its own, so requests run side by side. Over virtio-serial there is
//! one stream, so requests wait for each other; a request whose future is dropped leaves the stream out of step, and
//! the next one gets it back in step first (an empty line, a ping, and everything up to its answer skipped).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use port_guest_protocol::{
    Endpoint, ExecResult, ForwardDirection, Operation, PingResult, Request, RequestId, Response, ShutdownMode,
};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

mod connection;
mod copy;
mod error;
mod link;
mod stream;

use connection::Excerpt;
pub use connection::Stream;
pub use error::AgentError;
pub(crate) use link::Link;
use link::Session;
pub use port_guest_protocol::{Channel, HostFrame};
pub use stream::OnOutput;
use stream::{End, Input, Output, carry};

/// A command for the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestCommand {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Added to the agent's environment.
    pub environment: BTreeMap<String, String>,
    /// Where it runs; the root when absent.
    pub directory: Option<String>,
}

impl GuestCommand {
    /// A command without a particular environment or directory.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { command: command.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// The agent of one machine. Cloning shares the way to it.
#[derive(Debug, Clone)]
pub struct AgentClient {
    link: Arc<Link>,
    counter: Arc<AtomicU64>,
    excerpt: Excerpt,
    pulse: Duration,
}

impl AgentClient {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link: Arc::new(link),
            counter: Arc::default(),
            excerpt: Excerpt::default(),
            pulse: stream::PULSE,
        }
    }

    /// The same client in a hurry.
    #[cfg(test)]
    pub(crate) fn with_pulse(self, pulse: Duration) -> Self {
        Self { pulse, ..self }
    }

    /// A client over a stream that is connected already, which carries all requests.
    pub fn over(stream: Box<dyn Stream>) -> Self {
        Self::new(Link::serial(stream))
    }

    /// A client over a Unix socket that speaks `CONNECT <port>`: that of Firecracker, Cloud Hypervisor or
    /// `vhost-device-vsock`.
    pub fn over_vsock_socket(socket: &Path, port: u32) -> Self {
        Self::new(Link::HelperVsock { socket: socket.to_owned(), port, dial_interval: link::DIAL_INTERVAL })
    }

    /// Never used before on this machine, by no other Port either: a serial port may hold answers to a predecessor.
    fn next_id(&self) -> RequestId {
        let number = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
        RequestId::Text(format!("{}-{number}", std::process::id()))
    }

    /// Waits until the agent answers; the caller limits the time.
    ///
    /// # Errors
    /// The stream ended, or what answers is no agent.
    pub async fn ready(&self) -> Result<PingResult, AgentError> {
        self.link.ready(&|| self.next_id(), &self.excerpt).await
    }

    /// The first of what came while the agent was waited for: where no agent answers, it tells what does.
    pub fn heard(&self) -> Option<String> {
        self.excerpt.text()
    }

    /// Asks whether the agent is there.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn ping(&self) -> Result<PingResult, AgentError> {
        let mut session = self.link.session(&self.next_id()).await?;
        link::ping(session.connection(), &self.next_id()).await
    }

    /// Runs a command to its end and returns what it wrote, up to the protocol's limit.
    ///
    /// # Errors
    /// [`AgentError`]; a command that ran and failed is no error.
    pub async fn exec(&self, command: GuestCommand) -> Result<(i32, ExecResult), AgentError> {
        let (exit_code, result) = self.complete("exec", exec(command, Captured::Yes)).await?;
        let result = serde_json::from_value(result);
        Ok((exit_code, result.map_err(|source| AgentError::Result { operation: "exec", source })?))
    }

    /// Runs a command, passing `stdin` in and its outputs to `on_output` as they come; returns its exit code.
    ///
    /// # Errors
    /// [`AgentError`]; a command that ran and failed is no error.
    pub async fn exec_streaming(
        &self,
        command: GuestCommand,
        stdin: &mut (dyn AsyncRead + Send + Unpin),
        on_output: OnOutput<'_>,
    ) -> Result<i32, AgentError> {
        let operation = exec(command, Captured::No);
        let end = self.stream("exec", operation, Input::Reader(stdin), Output::Call(on_output)).await?;
        exit_code("exec", &end)
    }

    /// Runs a command on a terminal of `size` (columns, lines). `frames` carries what is typed and new sizes.
    ///
    /// # Errors
    /// [`AgentError`]; a command that ran and failed is no error.
    pub async fn pty(
        &self,
        command: GuestCommand,
        size: (u16, u16),
        frames: &mut mpsc::Receiver<HostFrame>,
        on_output: OnOutput<'_>,
    ) -> Result<i32, AgentError> {
        let GuestCommand { command, environment: env, directory: cwd } = command;
        let operation = Operation::Pty { command, cols: size.0, rows: size.1, cwd, env };
        let end = self.stream("pty", operation, Input::Frames(frames), Output::Call(on_output)).await?;
        exit_code("pty", &end)
    }

    /// Reads a log file of the guest; with `follow`, until the future is dropped.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn logs(
        &self,
        path: &str,
        follow: bool,
        tail_lines: Option<u64>,
        on_output: OnOutput<'_>,
    ) -> Result<(), AgentError> {
        let operation = Operation::Logs { path: path.to_owned(), follow, tail_lines };
        self.stream("logs", operation, Input::Unused, Output::Call(on_output)).await.map(|_| ())
    }

    /// Carries one connection, taken at `listen` on the host, to `target` in the guest.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn forward(
        &self,
        listen: Endpoint,
        target: Endpoint,
        connection: impl Stream,
    ) -> Result<(), AgentError> {
        let (mut reader, mut writer) = tokio::io::split(connection);
        let direction = ForwardDirection::HostToGuest;
        let operation = Operation::Forward { listen, target, direction };
        let (input, output) = (Input::Reader(&mut reader), Output::Writer(&mut writer));
        self.stream("forward", operation, input, output).await.map(|_| ())
    }

    /// Copies a file into the guest; returns its size.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn copy_in(&self, source: &Path, destination: &str) -> Result<u64, AgentError> {
        copy::into_guest(self, source, destination).await
    }

    /// Copies a file of at most `limit` bytes out of the guest; it appears whole or not at all. Returns its size.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn copy_out(&self, source: &str, destination: &Path, limit: u64) -> Result<u64, AgentError> {
        copy::out_of_guest(self, source, destination, limit).await
    }

    /// Has the agent flush the disks and end the machine. Returns when the agent has agreed.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn shutdown(&self, mode: ShutdownMode) -> Result<(), AgentError> {
        self.complete("shutdown", Operation::Shutdown { mode }).await.map(|_| ())
    }

    /// An operation with one answer.
    async fn complete(
        &self,
        name: &'static str,
        operation: Operation,
    ) -> Result<(i32, serde_json::Value), AgentError> {
        let (_session, response) = self.ask(name, operation, Patience::Endless).await?;
        match response.1 {
            Response::Completed { exit_code, result, .. } => Ok((exit_code, result)),
            other => Err(AgentError::refused(name, other)),
        }
    }

    /// An operation with frames.
    async fn stream(
        &self,
        name: &'static str,
        operation: Operation,
        input: Input<'_>,
        output: Output<'_>,
    ) -> Result<End, AgentError> {
        let (mut session, (id, response)) = self.ask(name, operation, Patience::OfPulse).await?;
        match response {
            Response::Accepted { .. } => {
                carry(session.connection(), name, &id, input, output, self.pulse_of(name)).await
            }
            other => Err(AgentError::refused(name, other)),
        }
    }

    /// How often the agent must give a sign of life. One that puts a large file on a slow disk cannot.
    fn pulse_of(&self, operation: &str) -> Duration {
        if operation == copy::NAME { self.pulse * 12 } else { self.pulse }
    }

    async fn ask(
        &self,
        name: &'static str,
        operation: Operation,
        patience: Patience,
    ) -> Result<(Session, (RequestId, Response)), AgentError> {
        let protocol = |source| AgentError::Protocol { operation: name, source };
        let mut session = self.link.session(&self.next_id()).await?;
        let id = self.next_id();
        let connection = session.connection();
        let response = match patience {
            Patience::Endless => {
                connection.request(&id, operation).await.map_err(protocol)?;
                connection.response(&id).await.map_err(protocol)?
            }
            Patience::OfPulse => {
                let request = Request { id: id.clone(), operation };
                stream::begin(connection, name, request, self.pulse_of(name)).await?
            }
        };
        Ok((session, (id, response)))
    }
}

/// How long the first answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// It comes at the end of the operation.
    Endless,
    /// It says that the operation begins.
    OfPulse,
}

/// Whether the agent keeps a command's output until its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Captured {
    Yes,
    No,
}

fn exec(command: GuestCommand, captured: Captured) -> Operation {
    let GuestCommand { command, environment: env, directory: cwd } = command;
    Operation::Exec { command, cwd, env, stream: captured == Captured::No }
}

fn exit_code(operation: &'static str, end: &End) -> Result<i32, AgentError> {
    match end {
        End::Exit(code) => Ok(*code),
        End::Eof => Err(AgentError::Unexpected {
            operation,
            expected: "an exit code".to_owned(),
            found: "the end of the stream".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
