//! `forward`: one byte stream between the host and an endpoint in the guest.
//!
//! The agent resolves no names: a static program has no resolver to rely on, and a guest's loopback is what
//! forwards are for. Unix sockets are reached through the root like any other guest path.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use port_guest_protocol::{Channel, Endpoint, GuestPath, HostFrame, MAX_CHUNK, RequestId};
use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::Shutdown;

use crate::connection::{Connection, Listening};
use crate::dispatch::{Agent, Finish};
use crate::error::OperationError;

/// How long a target may take to answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How much may wait for a target that does not read.
const MAX_PENDING: usize = 256 * 1024;

/// Connects to the target and carries bytes until it ends.
pub(crate) fn connect(
    agent: &Agent,
    connection: &mut Connection,
    id: &RequestId,
    target: &Endpoint,
) -> Result<Finish, OperationError> {
    let peer = match target {
        Endpoint::Tcp { .. } => {
            TcpStream::connect_timeout(&address(target)?, CONNECT_PATIENCE).map(OwnedFd::from)
        }
        Endpoint::Unix { path } => {
            let socket = agent.root.open_at(&path.parse()?, OFlags::PATH)?;
            UnixStream::connect(through(&socket)).map(OwnedFd::from)
        }
    };
    let peer = peer.map_err(OperationError::system("connect to", target))?;
    connection.accept(id, "forward", None)?;
    relay(connection, &peer)
}

/// Listens for one client and carries bytes until it ends.
pub(crate) fn listen(
    agent: &Agent,
    connection: &mut Connection,
    id: &RequestId,
    endpoint: &Endpoint,
) -> Result<Finish, OperationError> {
    let listener = match endpoint {
        Endpoint::Tcp { .. } => TcpListener::bind(address(endpoint)?).map(OwnedFd::from),
        Endpoint::Unix { path } => bind_unix(agent, &path.parse()?)?.map(OwnedFd::from),
    };
    let listener = listener.map_err(OperationError::system("listen on", endpoint))?;
    rustix::io::ioctl_fionbio(&listener, true).map_err(OperationError::system("listen on", endpoint))?;
    connection.accept(id, "forward", None)?;
    loop {
        // NOTE: before the wait, here and in `relay`: lines that came with the request wake nobody.
        while let Some(frame) = connection.take_frame()? {
            if matches!(frame, HostFrame::Close {}) {
                return Ok(Finish::Eof);
            }
        }
        connection.wait(Listening::Yes, &[(listener.as_fd(), PollFlags::IN)], None)?;
        match rustix::net::accept_with(&listener, rustix::net::SocketFlags::CLOEXEC) {
            Ok(peer) => {
                drop(listener);
                // Tells the host that somebody is there, even if that one waits to be spoken to.
                connection.send_data(Channel::Stdout, &[])?;
                return relay(connection, &peer);
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            Err(error) => return Err(OperationError::system("listen on", endpoint)(error)),
        }
    }
}

/// A TCP endpoint's address. Only what needs no resolver.
fn address(endpoint: &Endpoint) -> Result<SocketAddr, OperationError> {
    let refuse = |expected| {
        Err(OperationError::Unexpected {
            subject: "endpoint".into(),
            expected,
            found: format!("`{endpoint}`"),
        })
    };
    let Endpoint::Tcp { host, port } = endpoint else { return refuse("`host:port`") };
    if *port == 0 {
        return refuse("a port from 1");
    }
    match host.parse::<IpAddr>() {
        Ok(address) => Ok((address, *port).into()),
        Err(_) if host == "localhost" => Ok((Ipv4Addr::LOCALHOST, *port).into()),
        Err(_) => refuse("an IP address or `localhost` before the port"),
    }
}

/// Binds beside an opened directory, so that no link leads the socket out of the root.
fn bind_unix(agent: &Agent, path: &GuestPath) -> Result<io::Result<UnixListener>, OperationError> {
    let (parent, name) = path.split().ok_or_else(|| OperationError::Unexpected {
        subject: path.to_string(),
        expected: "a path for a socket",
        found: "the root directory".to_owned(),
    })?;
    let directory = agent.root.open_directory(&parent)?;
    Ok(UnixListener::bind(format!("{}/{name}", through(&directory))))
}

/// A path to what a descriptor stands for: sockets have no call that takes a directory.
fn through(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// What the host sent and the peer did not take yet.
#[derive(Debug, Default)]
struct Backlog {
    pending: Vec<u8>,
    closing: bool,
    closed: bool,
}

/// Carries bytes both ways until the peer ends its side.
fn relay(connection: &mut Connection, peer: &OwnedFd) -> Result<Finish, OperationError> {
    let broken = || OperationError::system("carry bytes of", "the forwarded connection");
    rustix::io::ioctl_fionbio(peer, true).map_err(broken())?;
    let mut chunk = vec![0; MAX_CHUNK];
    let mut backlog = Backlog::default();
    loop {
        backlog.hear(connection)?;
        backlog.write(peer).map_err(broken())?;
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, connection.has_room());
        events.set(PollFlags::OUT, !backlog.pending.is_empty());
        let listening = if backlog.pending.len() < MAX_PENDING { Listening::Yes } else { Listening::No };
        // With nothing to ask, only the connection is waited for: a peer that hung up would wake us for ever.
        let others = [(peer.as_fd(), events)];
        let others = if events.is_empty() { &others[..0] } else { &others[..] };
        let happened = connection.wait(listening, others, None)?;
        let happened = happened.first().copied().unwrap_or(PollFlags::empty());
        let readable = happened.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        if !readable || !events.contains(PollFlags::IN) {
            continue;
        }
        match rustix::io::read(peer, &mut chunk) {
            Ok(0) => return Ok(Finish::Eof),
            Ok(count) => connection.send_data(Channel::Stdout, chunk.get(..count).unwrap_or_default())?,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(broken()(error)),
        }
    }
}

impl Backlog {
    fn hear(&mut self, connection: &mut Connection) -> Result<(), OperationError> {
        while let Some(frame) = connection.take_frame()? {
            match frame {
                HostFrame::Input { data } if !self.closing => self.pending.extend_from_slice(&data),
                HostFrame::Close {} => self.closing = true,
                HostFrame::Input { .. } | HostFrame::Resize { .. } => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, peer: &OwnedFd) -> Result<(), Errno> {
        while !self.pending.is_empty() {
            match rustix::net::send(peer, &self.pending, rustix::net::SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        if self.closing && !self.closed {
            self.closed = true;
            // A peer that is gone already will be seen by the next read.
            let _ = rustix::net::shutdown(peer, Shutdown::Write);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pu_45_only_addresses_that_need_no_resolver_are_reached() {
        for (text, expected) in
            [("127.0.0.1:80", "127.0.0.1:80"), ("localhost:80", "127.0.0.1:80"), ("[::1]:80", "[::1]:80")]
        {
            assert_eq!(address(&text.parse().unwrap()).unwrap().to_string(), expected);
        }
        for text in ["example.org:80", "127.0.0.1:0", "unix:/x", "127.1:80"] {
            assert!(address(&text.parse().unwrap()).is_err(), "{text}");
        }
    }
}
