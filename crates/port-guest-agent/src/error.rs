//! What an operation can fail with. The text goes to the host as one message, so it names the operation, the
//! subject, what was expected and what was found.

use std::error::Error;
use std::io;

use port_guest_protocol::{GuestPathError, ProtocolError};

/// The other side of a connection is gone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// It ended the stream, or nobody has the other end of a serial port open.
    #[error("the host is gone")]
    HungUp,
    /// It took too long to say something whole.
    #[error("no complete request within {seconds} s")]
    TooSlow { seconds: u64 },
    /// The transport broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
}

/// Why an operation did not begin or did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationError {
    #[error("connection lost")]
    Lost(#[from] Lost),
    #[error(transparent)]
    Path(#[from] GuestPathError),
    #[error("{subject}: expected {expected}, found {found}")]
    Unexpected { subject: String, expected: &'static str, found: String },
    #[error("cannot {operation} `{subject}`")]
    System {
        operation: &'static str,
        subject: String,
        #[source]
        source: io::Error,
    },
    #[error("command `{command}`: expected a program in `{searched}` (with its interpreter), found none")]
    CommandNotFound { command: String, searched: String },
    #[error("command `{command}`: expected a program that can run")]
    CommandCannotRun {
        command: String,
        #[source]
        source: io::Error,
    },
    #[error("cancelled by the host: {reason}")]
    Cancelled { reason: String },
    #[error("cancelled by a line that is no frame")]
    BadFrame(#[source] ProtocolError),
}

impl OperationError {
    /// For system calls that name a file or a program.
    pub(crate) fn system<E: Into<io::Error>>(
        operation: &'static str,
        subject: impl ToString,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::System { operation, subject: subject.to_string(), source: source.into() }
    }

    /// What a shell would report.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        match self {
            Self::CommandNotFound { .. } => Some(127),
            Self::CommandCannotRun { .. } => Some(126),
            _ => None,
        }
    }
}

/// An error with its causes: the host sees one text.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
