//! From a line to an operation to an answer; the loop every transport runs.
//!
//! ```text
//! idle ──request──► running ──completed | failed | exit | eof | error──► idle
//!   └─ anything else: `failed`, still idle        └─ host gone: the operation is undone, the loop ends
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use port_guest_protocol::{
    AgentFrame, CopyDirection, ForwardDirection, HostLine, OPERATIONS, Operation, PROTOCOL_VERSION,
    PingResult, Request, RequestId, Response, decode_host_line,
};
use serde_json::Value;

use crate::connection::{Connection, Listening, failed};
use crate::error::{Lost, OperationError, chain};
use crate::options::Options;
use crate::program::Program;
use crate::root::Root;
use crate::{copy, exec, forward, logs, power, terminal};

/// How long a line may take from its first byte to its newline while nothing runs.
const LINE_PATIENCE: Duration = Duration::from_secs(30);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) root: Root,
    /// Whether `shutdown` is this agent's to do: not where it serves a directory of some other machine.
    pub(crate) owns_machine: bool,
    pub(crate) handshake: Duration,
    pub(crate) max_connections: usize,
    pub(crate) connections: AtomicUsize,
}

/// How an operation ended well.
#[derive(Debug)]
pub(crate) enum Finish {
    /// One answer.
    Completed { exit_code: i32, result: Value },
    /// The last frame of a command.
    Exit(i32),
    /// The last frame of everything else.
    Eof,
}

impl Agent {
    pub(crate) fn new(options: &Options) -> Result<Self, OperationError> {
        let root = Root::open(&options.root)?;
        Ok(Self {
            owns_machine: root.is_machine_root(),
            root,
            handshake: options.handshake,
            max_connections: options.max_connections,
            connections: AtomicUsize::new(0),
        })
    }

    /// A place among the connections, or none left.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Slot> {
        let claim = |count: usize| (count < self.max_connections).then_some(count + 1);
        let entered = self.connections.fetch_update(Ordering::SeqCst, Ordering::SeqCst, claim);
        entered.ok().map(|_| Slot(Arc::clone(self)))
    }
}

/// Leaves its place when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Agent>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Serves requests until the host is gone. `handshake` limits the wait for the first one.
pub(crate) fn serve(agent: &Agent, connection: &mut Connection, handshake: Option<Duration>) -> Lost {
    let mut handshake = handshake.map(Deadline::after);
    loop {
        let line = match next_line(connection, handshake) {
            Ok(line) => line,
            Err(lost) => return lost,
        };
        let answered = match line.map_err(Into::into).and_then(|line| decode_host_line(&line)) {
            Ok(HostLine::Request(request)) => {
                handshake = None;
                perform(agent, connection, request)
            }
            // The tail of a stream that ended here before the host knew.
            Ok(HostLine::Frame(_)) => Ok(()),
            Err(bad) => connection.send(failed(bad.id, bad.error.to_message(), None)),
        };
        if let Err(lost) = answered {
            return lost;
        }
    }
}

type Line = Result<Vec<u8>, port_guest_protocol::ProtocolError>;

/// A moment, and the patience it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    end: Instant,
    patience: Duration,
}

impl Deadline {
    fn after(patience: Duration) -> Self {
        Self { end: Instant::now() + patience, patience }
    }
}

/// Waits for a whole line: for ever while nothing comes, not for ever for the rest of one.
fn next_line(connection: &mut Connection, handshake: Option<Deadline>) -> Result<Line, Lost> {
    let mut line_deadline = None;
    loop {
        if let Some(line) = connection.take_line() {
            return Ok(line);
        }
        if connection.is_mid_line() {
            line_deadline.get_or_insert_with(|| Deadline::after(LINE_PATIENCE));
        }
        let deadline = [handshake, line_deadline].into_iter().flatten().min();
        let remaining = deadline.map(|deadline| deadline.end.saturating_duration_since(Instant::now()));
        if let Some(deadline) = deadline.filter(|_| remaining == Some(Duration::ZERO)) {
            return Err(Lost::TooSlow { seconds: deadline.patience.as_secs() });
        }
        let listening = if connection.has_room() { Listening::Yes } else { Listening::No };
        connection.wait(listening, &[], remaining)?;
    }
}

/// Runs one request and sends its last message.
fn perform(agent: &Agent, connection: &mut Connection, request: Request) -> Result<(), Lost> {
    let Request { id, operation } = request;
    let finish = run(agent, connection, &id, &operation);
    let streaming = std::mem::take(&mut connection.streaming);
    match finish {
        Ok(Finish::Completed { exit_code, result }) => {
            connection.send(Response::Completed { id, exit_code, result })?;
            match operation {
                Operation::Shutdown { mode } => power::end_machine(connection, mode),
                _ => Ok(()),
            }
        }
        Ok(Finish::Exit(code)) => connection.send(AgentFrame::Exit { code }),
        Ok(Finish::Eof) => connection.send(AgentFrame::Eof {}),
        Err(OperationError::Lost(lost)) => Err(lost),
        Err(error) if streaming => connection.send(AgentFrame::Error { message: chain(&error) }),
        Err(error) => connection.send(failed(Some(id), chain(&error), error.exit_code())),
    }
}

fn run(
    agent: &Agent,
    connection: &mut Connection,
    id: &RequestId,
    operation: &Operation,
) -> Result<Finish, OperationError> {
    match operation {
        Operation::Exec { command, cwd, env, stream } => {
            let program = Program { command, cwd: cwd.as_deref(), env };
            let run = if *stream { exec::stream } else { exec::capture };
            run(agent, connection, id, &program)
        }
        Operation::Pty { command, cols, rows, cwd, env } => {
            let program = Program { command, cwd: cwd.as_deref(), env };
            terminal::run(agent, connection, id, &program, terminal::size(*cols, *rows))
        }
        Operation::Copy { destination, direction: CopyDirection::HostToGuest, size_bytes, .. } => {
            copy::receive(agent, connection, id, destination, *size_bytes)
        }
        Operation::Copy { source, direction: CopyDirection::GuestToHost, .. } => {
            copy::send(agent, connection, id, source)
        }
        Operation::Logs { path, follow, tail_lines } => {
            logs::run(agent, connection, id, path, *follow, *tail_lines)
        }
        Operation::Forward { target, direction: ForwardDirection::HostToGuest, .. } => {
            forward::connect(agent, connection, id, target)
        }
        Operation::Forward { listen, direction: ForwardDirection::GuestToHost, .. } => {
            forward::listen(agent, connection, id, listen)
        }
        Operation::Ping {} => Ok(Finish::Completed { exit_code: 0, result: ping() }),
        Operation::Shutdown { .. } => power::check(agent),
    }
}

fn ping() -> Value {
    let result = PingResult {
        protocol_version: PROTOCOL_VERSION,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        operations: OPERATIONS.map(str::to_owned).to_vec(),
    };
    serde_json::to_value(result).unwrap_or_default()
}
