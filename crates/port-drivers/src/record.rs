//! What became of a workload, as its supervisor wrote it down.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use port_runtime::AgentDoor;
use serde::{Deserialize, Serialize};

/// What the supervisor knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of jobs and records.
    pub(crate) version: u32,
    /// The supervisor's process id; meaningful while it holds the room's lock.
    pub supervisor: u32,
    /// The process that is number 1 in the workload, seen from the host.
    pub init: Option<u32>,
    /// The workload's control groups.
    pub groups: Vec<PathBuf>,
    /// Its address on the bridge.
    pub address: Option<Ipv4Addr>,
    /// How the agent of its machine is reached, where it is one.
    #[serde(default)]
    pub agent: Option<AgentDoor>,
    /// What could not be kept, where that was allowed.
    pub warnings: Vec<String>,
    /// How far it is.
    pub status: Status,
}

/// How far a workload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Status {
    /// Its root is being mounted.
    Starting,
    /// Its command runs.
    Running,
    /// Its command ended; killed by a signal is 128 and the signal's number, as shells say it.
    Exited {
        /// With this status.
        code: i32,
    },
    /// It never ran, or nobody saw its end.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Record {
    pub(crate) fn starting(supervisor: u32, warnings: Vec<String>) -> Self {
        let version = crate::job::VERSION;
        let (init, groups, address, agent) = (None, Vec::new(), None, None);
        Self { version, supervisor, init, groups, address, agent, warnings, status: Status::Starting }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Running => f.write_str("running"),
            Self::Exited { code } => write!(f, "exited ({code})"),
            Self::Failed { reason } => write!(f, "failed ({reason})"),
        }
    }
}
