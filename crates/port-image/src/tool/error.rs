//! How a call of an external command can fail.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// Something went wrong with an external command.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error("the tool `{tool}` is not installed: it is in the Debian package `{package}`")]
    Missing {
        /// Its name.
        tool: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// It could not be started, or talked to.
    #[error("cannot run `{command}`")]
    Run {
        /// The command line.
        command: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It ended with an exit status that means failure.
    #[error("`{command}` failed ({status}): {message}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status, or the signal that ended it.
        status: ExitStatus,
        /// The last lines that it wrote.
        message: String,
    },
    /// What was to be fed to it could not be read.
    #[error("cannot feed `{command}`")]
    Input {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It wrote more than is read.
    #[error("`{command}` wrote more than {limit} bytes")]
    OutputTooLarge {
        /// The command line.
        command: String,
        /// The limit.
        limit: u64,
    },
    /// It did not end in time.
    #[error("`{command}` did not end within {} seconds", limit.as_secs())]
    TimedOut {
        /// The command line.
        command: String,
        /// The limit.
        limit: Duration,
    },
}
