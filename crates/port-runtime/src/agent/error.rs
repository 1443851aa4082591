//! What can go wrong with a request to the agent.

use std::time::Duration;

use port_content::FsError;
use port_guest_protocol::{ProtocolError, Response};

/// A request to the agent that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent cannot be reached.
    #[error("cannot connect to the guest's agent")]
    Connect {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The stream to the agent.
    #[error("`{operation}` in the guest broke off")]
    Protocol {
        /// What was asked for.
        operation: &'static str,
        /// Why.
        #[source]
        source: ProtocolError,
    },
    /// The single stream could not be got back after an abandoned request.
    #[error("the guest's agent did not end an abandoned request within {} s", waited.as_secs())]
    OutOfStep {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Neither the operation nor a ping had any answer.
    #[error("the guest's agent gave no sign of life for {} s during `{operation}`", waited.as_secs())]
    Silent {
        /// What was asked for.
        operation: &'static str,
        /// How long nothing came.
        waited: Duration,
    },
    /// The agent has nothing to do: it is not the one that was asked.
    #[error("the guest's agent was started anew during `{operation}`, which is lost")]
    Restarted {
        /// What was asked for.
        operation: &'static str,
    },
    /// The agent refused, or could not go on.
    #[error("`{operation}` in the guest failed: {message}")]
    Failed {
        /// What was asked for.
        operation: &'static str,
        /// The agent's words.
        message: String,
        /// What a shell would report: 127 for a command not found, 126 for one that cannot run.
        exit_code: Option<i32>,
    },
    /// The agent answered with something else.
    #[error("`{operation}` in the guest: expected {expected}, found {found}")]
    Unexpected {
        /// What was asked for.
        operation: &'static str,
        /// What should have come.
        expected: String,
        /// What came.
        found: String,
    },
    /// The agent's result has another shape.
    #[error("`{operation}` in the guest gave a result of another shape")]
    Result {
        /// What was asked for.
        operation: &'static str,
        /// In which way.
        #[source]
        source: serde_json::Error,
    },
    /// This side of the stream.
    #[error("cannot {what} of `{operation}`")]
    Local {
        /// What was asked for.
        operation: &'static str,
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file on this side.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl AgentError {
    /// The error in a response that is not the one hoped for.
    pub(crate) fn refused(operation: &'static str, response: Response) -> Self {
        match response {
            Response::Failed { message, exit_code, .. } => Self::Failed { operation, message, exit_code },
            Response::Accepted { stream, .. } => Self::Unexpected {
                operation,
                expected: "a completed operation".to_owned(),
                found: format!("an accepted stream `{}`", stream.0),
            },
            Response::Completed { exit_code, .. } => Self::Unexpected {
                operation,
                expected: "an accepted stream".to_owned(),
                found: format!("a completed operation with exit code {exit_code}"),
            },
        }
    }

    /// Whether the guest may have gone away, so that its console says more than this error.
    pub fn is_broken_off(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Protocol { .. })
    }
}
