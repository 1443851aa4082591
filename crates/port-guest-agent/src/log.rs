//! The agent's own log: standard error, which the guest's init points at a file. Not the protocol's `logs`.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the agent's log and its --help are its own to print"
)]

use std::fmt::Arguments;

/// One line of the log.
pub(crate) fn line(message: Arguments<'_>) {
    eprintln!("port-guest-agent: {message}");
}

/// What was asked for on the command line.
pub(crate) fn tell(text: &str) {
    println!("{text}");
}
