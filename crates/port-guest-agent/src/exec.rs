//! `exec`: a command without a terminal, captured or streamed.

use port_guest_protocol::{ExecResult, RequestId};

use crate::connection::Connection;
use crate::dispatch::{Agent, Finish};
use crate::error::OperationError;
use crate::program::{Program, Streams};
use crate::pump::{Captured, Pump, Sink};

/// As published: no input, everything in one answer.
pub(crate) fn capture(
    agent: &Agent,
    connection: &mut Connection,
    _id: &RequestId,
    program: &Program<'_>,
) -> Result<Finish, OperationError> {
    let running = program.start(agent, Streams::Outputs)?;
    let sink = Sink::Capture { stdout: Captured::default(), stderr: Captured::default() };
    let mut pump = Pump::pipes(running, sink)?;
    let exit_code = pump.run(connection, |_| {})?;
    let Sink::Capture { stdout, stderr } = pump.sink else { return Ok(Finish::Exit(exit_code)) };
    let result = ExecResult::new((stdout.bytes, stdout.truncated), (stderr.bytes, stderr.truncated));
    let result = serde_json::to_value(result).unwrap_or_default();
    Ok(Finish::Completed { exit_code, result })
}

/// Our extension: input and output as they come.
pub(crate) fn stream(
    agent: &Agent,
    connection: &mut Connection,
    id: &RequestId,
    program: &Program<'_>,
) -> Result<Finish, OperationError> {
    let running = program.start(agent, Streams::Pipes)?;
    let mut pump = Pump::pipes(running, Sink::Stream)?;
    connection.accept(id, "exec", None)?;
    pump.run(connection, |_| {}).map(Finish::Exit)
}
