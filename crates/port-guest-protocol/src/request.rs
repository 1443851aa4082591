//! What a host asks of the agent: `{id, operation}`, the operation tagged by `type`.
//!
//! The fields of the published protocol carry no mark; ours say "Extension". An extension always has a default
//! with which the message is exactly the published one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Endpoint, RequestId};

/// The operations an agent of this version knows, by their `type`.
pub const OPERATIONS: [&str; 7] = ["exec", "copy", "pty", "logs", "forward", "ping", "shutdown"];

/// One line from the host that begins an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Echoed in every response.
    pub id: RequestId,
    /// What to do.
    pub operation: Operation,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// Runs a command without a terminal.
    Exec {
        /// The program and its arguments; at least one word.
        command: Vec<String>,
        /// The directory to run in, a guest path; the root when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        /// Added to the agent's own environment.
        #[serde(default)]
        env: BTreeMap<String, String>,
        /// Extension: frames as they come and input from the host, instead of one `completed` at the end.
        #[serde(default, skip_serializing_if = "is_false")]
        stream: bool,
    },
    /// Moves one regular file.
    Copy {
        /// Where it comes from: a host path or a guest path, by the direction.
        source: String,
        /// Where it goes: a guest path or a host path, by the direction.
        destination: String,
        /// Which of the two is in the guest.
        direction: CopyDirection,
        /// The exact size, where the sender knows it; else the transfer ends with `close`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size_bytes: Option<u64>,
    },
    /// Runs a command on a terminal of its own.
    Pty {
        /// The program and its arguments; at least one word.
        command: Vec<String>,
        /// Width in characters.
        cols: u16,
        /// Height in lines.
        rows: u16,
        /// Extension: the directory to run in, as in `exec`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        /// Extension: added to the agent's own environment.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    },
    /// Reads a log file.
    Logs {
        /// The file, a guest path.
        path: String,
        /// Whether to go on with what is appended.
        #[serde(default)]
        follow: bool,
        /// How many of the last lines to begin with; all when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tail_lines: Option<u64>,
    },
    /// Carries one byte stream between the host and an endpoint in the guest.
    Forward {
        /// Where connections are taken: on the host, or in the guest when the direction says so.
        listen: Endpoint,
        /// Where they lead.
        target: Endpoint,
        /// Extension: which side listens.
        #[serde(default, skip_serializing_if = "ForwardDirection::is_published")]
        direction: ForwardDirection,
    },
    /// Asks whether the agent is there, and which protocol it speaks.
    Ping {},
    /// Extension: flushes the disks and ends the machine.
    Shutdown {
        /// How it ends.
        mode: ShutdownMode,
    },
}

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyDirection {
    /// `destination` is in the guest.
    HostToGuest,
    /// `source` is in the guest.
    GuestToHost,
}

/// Which side of a forward listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardDirection {
    /// The host listens, the agent connects to `target`.
    #[default]
    HostToGuest,
    /// The agent listens on `listen` for one connection, the host connects to `target`.
    GuestToHost,
}

/// How the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShutdownMode {
    /// Power off.
    PowerOff,
    /// Start again.
    Reboot,
}

impl Operation {
    /// The word in `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exec { .. } => "exec",
            Self::Copy { .. } => "copy",
            Self::Pty { .. } => "pty",
            Self::Logs { .. } => "logs",
            Self::Forward { .. } => "forward",
            Self::Ping {} => "ping",
            Self::Shutdown { .. } => "shutdown",
        }
    }
}

impl ForwardDirection {
    fn is_published(&self) -> bool {
        *self == Self::HostToGuest
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
