//! How connections to the agent come about: one for each request over vsock, one for all over virtio-serial.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use port_guest_protocol::{Operation, PingResult, ProtocolError, RequestId, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use vsock::VsockStream;

use super::AgentError;
use super::connection::{Connection, Excerpt, Stream};

/// How often a vsock connection is tried while the guest boots: the most that readiness is noticed late.
pub(crate) const DIAL_INTERVAL: Duration = Duration::from_millis(5);
/// What one try has: a transport that took the connection and forgot it must not end the trying.
const DIAL_PATIENCE: Duration = Duration::from_secs(5);
/// When a ping over virtio-serial is repeated. QEMU holds back what is sent before the guest opens the port, so the
/// first ping is normally answered; a repetition only matters where an agent closed the port again.
const FIRST_REPETITION: Duration = Duration::from_millis(500);
const LONGEST_REPETITION: Duration = Duration::from_secs(4);
/// What an agent has to end what it was doing and to answer a ping.
const RESYNCHRONISATION_TIME: Duration = Duration::from_secs(10);
/// What a connection has, once the agent has been there.
const RECONNECTION_TIME: Duration = Duration::from_secs(20);
/// `OK <port>\n`, with room.
const LONGEST_GREETING: usize = 64;

/// The way to one machine's agent.
#[derive(Debug)]
pub(crate) enum Link {
    /// The host kernel's vsock.
    KernelVsock { cid: u32, port: u32 },
    /// The Unix socket of `vhost-device-vsock`, as Firecracker and Cloud Hypervisor have it too.
    HelperVsock { socket: PathBuf, port: u32, dial_interval: Duration },
    /// One stream for all requests, one after the other.
    Serial(Arc<Mutex<Connection>>),
}

/// A connection in the hands of one request.
pub(crate) enum Session {
    Own(Connection),
    Shared(OwnedMutexGuard<Connection>),
}

impl Session {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        match self {
            Self::Own(connection) => connection,
            Self::Shared(guard) => guard,
        }
    }
}

impl Link {
    pub(crate) fn serial(stream: Box<dyn Stream>) -> Self {
        Self::Serial(Arc::new(Mutex::new(Connection::new(stream))))
    }

    /// A connection for one request, in step with the agent.
    pub(crate) async fn session(&self, fresh_id: &RequestId) -> Result<Session, AgentError> {
        match self {
            Self::Serial(shared) => {
                let mut guard = Arc::clone(shared).lock_owned().await;
                if guard.is_out_of_step() {
                    let back =
                        tokio::time::timeout(RESYNCHRONISATION_TIME, guard.resynchronise(fresh_id)).await;
                    back.map_err(|_| AgentError::OutOfStep { waited: RESYNCHRONISATION_TIME })?
                        .map_err(|source| AgentError::Protocol { operation: "resynchronise", source })?;
                }
                Ok(Session::Shared(guard))
            }
            Self::KernelVsock { .. } | Self::HelperVsock { .. } => {
                // A guest that stands still takes no connection and refuses none.
                let dialled = tokio::time::timeout(RECONNECTION_TIME, self.dial()).await;
                let stream = dialled.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
                let stream = stream.map_err(|source| AgentError::Connect { source })?;
                Ok(Session::Own(Connection::new(stream)))
            }
        }
    }

    fn dial_interval(&self) -> Duration {
        match self {
            Self::HelperVsock { dial_interval, .. } => *dial_interval,
            Self::KernelVsock { .. } | Self::Serial(_) => DIAL_INTERVAL,
        }
    }

    async fn dial(&self) -> std::io::Result<Box<dyn Stream>> {
        match self {
            Self::KernelVsock { cid, port } => Ok(Box::new(dial_kernel(*cid, *port).await?)),
            Self::HelperVsock { socket, port, .. } => Ok(Box::new(dial_helper(socket, *port).await?)),
            Self::Serial(_) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    /// Waits until the agent answers a ping, however long that takes; the caller limits it.
    /// What comes meanwhile goes into `excerpt`.
    pub(crate) async fn ready(
        &self,
        ids: &(dyn Fn() -> RequestId + Sync),
        excerpt: &Excerpt,
    ) -> Result<PingResult, AgentError> {
        match self {
            Self::Serial(shared) => {
                let mut connection = shared.lock().await;
                connection.incoming.share(excerpt.clone());
                first_pong(&mut connection, ids).await
            }
            Self::KernelVsock { .. } | Self::HelperVsock { .. } => loop {
                let next_try = Instant::now() + self.dial_interval();
                let attempt = async {
                    let mut connection = Connection::new(self.dial().await.ok()?);
                    connection.incoming.share(excerpt.clone());
                    // A connection can be taken by the transport before the agent is there, and then breaks.
                    ping(&mut connection, &ids()).await.ok()
                };
                if let Ok(Some(pong)) = tokio::time::timeout(DIAL_PATIENCE, attempt).await {
                    return Ok(pong);
                }
                tokio::time::sleep_until(next_try).await;
            },
        }
    }
}

/// Pings, and pings again at growing intervals, until the last ping is answered: with it, every earlier answer and
/// whatever a predecessor left on the port has been read away.
async fn first_pong(
    connection: &mut Connection,
    ids: &(dyn Fn() -> RequestId + Sync),
) -> Result<PingResult, AgentError> {
    let protocol = |source| AgentError::Protocol { operation: "ping", source };
    let mut patience = FIRST_REPETITION;
    loop {
        let id = ids();
        connection.begin_resynchronising(&id).await.map_err(protocol)?;
        let repetition = Instant::now() + patience;
        while let Ok(line) = tokio::time::timeout_at(repetition, connection.incoming.next()).await {
            // A terminal's echo or an agent's farewell on the port is nothing to stumble over while waiting.
            let response = match line {
                Ok(port_guest_protocol::AgentLine::Response(response)) => response,
                Err(source @ (ProtocolError::EndOfStream { .. } | ProtocolError::Stream { .. })) => {
                    return Err(protocol(source));
                }
                Ok(_) | Err(_) => continue,
            };
            if response.id() == Some(&id) {
                connection.is_busy = false;
                return pong(response);
            }
        }
        patience = (patience * 2).min(LONGEST_REPETITION);
    }
}

pub(crate) async fn ping(connection: &mut Connection, id: &RequestId) -> Result<PingResult, AgentError> {
    let protocol = |source| AgentError::Protocol { operation: "ping", source };
    connection.request(id, Operation::Ping {}).await.map_err(protocol)?;
    pong(connection.response(id).await.map_err(protocol)?)
}

fn pong(response: Response) -> Result<PingResult, AgentError> {
    match response {
        Response::Completed { result, .. } => {
            serde_json::from_value(result).map_err(|source| AgentError::Result { operation: "ping", source })
        }
        other => Err(AgentError::refused("ping", other)),
    }
}

async fn dial_kernel(cid: u32, port: u32) -> std::io::Result<UnixStream> {
    let connected = tokio::task::spawn_blocking(move || VsockStream::connect_with_cid_port(cid, port));
    let stream = connected.await.map_err(std::io::Error::other)??;
    stream.set_nonblocking(true)?;
    // A connected stream socket is read and written alike in every address family; tokio only knows this one.
    UnixStream::from_std(std::os::unix::net::UnixStream::from(OwnedFd::from(stream)))
}

/// `CONNECT <port>` and `OK <guest's port>`.
async fn dial_helper(socket: &Path, port: u32) -> std::io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).await?;
    let mut greeting = Vec::new();
    // Byte by byte: what follows the greeting's newline is the agent's.
    while !greeting.ends_with(b"\n") {
        if greeting.len() == LONGEST_GREETING {
            return Err(std::io::Error::other("the vsock helper answered with no `OK` line"));
        }
        greeting.push(stream.read_u8().await?);
    }
    if greeting.starts_with(b"OK ") {
        return Ok(stream);
    }
    let found = String::from_utf8_lossy(&greeting).trim_end().to_owned();
    Err(std::io::Error::other(format!("the vsock helper answered `{found}`: expected `OK <port>`")))
}
