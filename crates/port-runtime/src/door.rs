//! How another process than the one that booted a machine asks its agent: as data, so that it can be written down.
//!
//! A serial port has one host at a time. Whoever wants one takes its lock, which ends with the process, and QEMU's socket behind it;
//! that the connection ends is what tells the agent to end what was asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use port_content::lock::{self, Lock, Mode};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::agent::{AgentClient, Link};
use crate::driver::Machine;
use crate::error::{RuntimeError, channel_error};
use crate::machine_spec::{ChannelKind, MachineSpec};
use crate::qemu::side_socket;

/// How often a free port is looked for.
const INTERVAL: Duration = Duration::from_millis(20);

/// The way in for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AgentDoor {
    /// Sockets of serial ports, one process each.
    Serial {
        /// The sockets.
        sockets: Vec<PathBuf>,
    },
    /// A socket that speaks `CONNECT <port>`.
    VsockSocket {
        /// The socket.
        socket: PathBuf,
        /// The agent's port.
        port: u32,
    },
    /// The host kernel's vsock.
    KernelVsock {
        /// The guest's context id.
        cid: u32,
        /// The agent's port.
        port: u32,
    },
}

/// An agent that another process asks. What is asked ends when this is dropped.
#[derive(Debug)]
pub struct Visit {
    /// The client.
    pub agent: AgentClient,
    _port: Option<Lock>,
}

impl AgentDoor {
    /// The way into a machine that runs, for others than the caller.
    pub fn of(machine: &Machine, spec: &MachineSpec) -> Option<Self> {
        let agent = spec.agent.as_ref()?;
        let (directory, port) = (machine.run_directory(), agent.control_port);
        Some(match machine.channel()? {
            ChannelKind::KernelVsock => Self::KernelVsock { cid: agent.vsock_cid, port },
            ChannelKind::HelperVsock | ChannelKind::VmmVsock => {
                Self::VsockSocket { socket: directory.join("agent.sock"), port }
            }
            ChannelKind::VirtioSerial => {
                let first = directory.join("agent.sock");
                Self::Serial { sockets: (1..=agent.side_ports).map(|n| side_socket(&first, n)).collect() }
            }
        })
    }

    /// Goes in, and waits for a free port for at most `patience`.
    ///
    /// # Errors
    /// Nothing is free, or the machine has ended.
    pub async fn open(&self, patience: Duration) -> Result<Visit, RuntimeError> {
        match self {
            Self::KernelVsock { cid, port } => {
                let agent = AgentClient::new(Link::KernelVsock { cid: *cid, port: *port });
                Ok(Visit { agent, _port: None })
            }
            Self::VsockSocket { socket, port } => {
                Ok(Visit { agent: AgentClient::over_vsock_socket(socket, *port), _port: None })
            }
            Self::Serial { sockets } => {
                let end = Instant::now() + patience;
                loop {
                    for socket in sockets {
                        if let Some(visit) = take(socket).await? {
                            return Ok(visit);
                        }
                    }
                    if Instant::now() > end {
                        let step = "the wait for a free way to the guest's agent";
                        return Err(RuntimeError::TooSlow { step, allowed: patience });
                    }
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        }
    }
}

async fn take(socket: &Path) -> Result<Option<Visit>, RuntimeError> {
    let Some(port) = lock::try_lock(&socket.with_extension("lock"), Mode::Exclusive)? else {
        return Ok(None);
    };
    let stream = UnixStream::connect(socket).await.map_err(channel_error("connect to the guest's agent"))?;
    let agent = AgentClient::over(Box::new(stream));
    // The one before may have left an answer on the port.
    agent.ready().await?;
    Ok(Some(Visit { agent, _port: Some(port) }))
}
