//! The agent inside the guest: serves the line protocol of `port-guest-protocol` over a Unix socket, vsock and a
//! virtio-serial port.
//!
//! ```text
//! listen, serial ──► connection ──► dispatch ──► exec, pty, copy, logs, forward, power
//!   (transports)      (lines, poll)                   └─ root (paths), program + pump (commands)
//! ```
//!
//! One blocking thread per connection, one operation at a time on each, `poll` inside; no runtime. Not an init:
//! it reaps only what it started. Invariants: nothing is sent before it was asked for; no path leaves the root;
//! a command does not outlive the connection that asked for it, nor the agent.
#![expect(
    clippy::disallowed_methods,
    reason = "runs inside the guest: the walls keep the host's file system, environment and clock in one place"
)]

mod connection;
mod console;
mod copy;
mod dispatch;
mod error;
mod exec;
mod forward;
mod listen;
mod log;
mod logs;
mod options;
mod power;
mod program;
mod pump;
mod root;
mod serial;
mod signals;
mod tail;
mod terminal;
mod vsock;
mod walk;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::dispatch::Agent;
use crate::options::{Invocation, Options};

fn main() -> ExitCode {
    signals::reset_own();
    match options::parse(lexopt::Parser::from_env()) {
        Ok(Invocation::Serve(options)) => serve(&options),
        Ok(Invocation::Console(command)) => match console::run(&command) {
            Ok(never) => match never {},
            Err(error) => {
                log::line(format_args!("error: {}", error::chain(&error)));
                ExitCode::from(127)
            }
        },
        Ok(Invocation::Tell(text)) => {
            log::tell(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            log::line(format_args!("error: {error}\n\n{}", options::USAGE));
            ExitCode::from(2)
        }
    }
}

/// Starts every transport that was asked for and serves until the machine ends. One transport is enough: a
/// guest without vsock must still be reached over its serial port.
fn serve(options: &Options) -> ExitCode {
    let agent = match Agent::new(options) {
        Ok(agent) => Arc::new(agent),
        Err(error) => {
            log::line(format_args!("error: {}", error::chain(&error)));
            return ExitCode::FAILURE;
        }
    };
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut keep = |name: String, started: Result<JoinHandle<()>, error::OperationError>| match started {
        Ok(thread) => {
            log::line(format_args!("serving {name}"));
            threads.push(thread);
        }
        Err(error) => log::line(format_args!("not serving {name}: {}", error::chain(&error))),
    };
    if let Some(path) = &options.socket {
        keep(format!("unix:{}", path.display()), listen::unix(&agent, path));
    }
    if let Some(port) = options.vsock_port {
        keep(format!("vsock port {port}"), listen::vsock(&agent, port));
    }
    if let Some(choice) = &options.serial {
        keep(format!("serial {choice}"), serial::start(&agent, choice.clone()));
    }
    if threads.is_empty() {
        log::line(format_args!("error: expected at least one way to be reached, found none that works"));
        return ExitCode::FAILURE;
    }
    for thread in threads {
        if thread.join().is_err() {
            log::line(format_args!("a transport ended by a bug; the others go on"));
        }
    }
    ExitCode::FAILURE
}
