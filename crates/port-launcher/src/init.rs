//! The least that number 1 of a process namespace does: it starts the command, reaps whatever ends, and ends with the command.
//!
//! Signals to end are the command's, which is asked by its own number; number 1 has no way to be asked.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};

use crate::{cannot_start, failed};

/// As shells say it: ended by a signal.
const BY_SIGNAL: i32 = 128;

/// Runs the command to its end.
pub(crate) fn run(command: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else {
        return failed(2, "expected a command behind `--`, found none");
    };
    let child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => child.id(),
        Err(error) => return cannot_start(program, &error),
    };
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((process, status))) if process.as_raw_nonzero().get().unsigned_abs() == child => {
                let by_signal = || BY_SIGNAL + status.terminating_signal().unwrap_or_default();
                let code = status.exit_status().unwrap_or_else(by_signal);
                return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return failed(u8::MAX, &format!("cannot wait for the command: {error}")),
        }
    }
}
