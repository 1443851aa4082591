//! Ports of the host that lead to a workload: what arrives is passed on, byte for byte or datagram for datagram, by the supervisor.
//!
//! Invariant: everything here belongs to one set of tasks, and ends with it. What a stranger can make the supervisor hold is bounded:
//! a client of a datagram port is forgotten when it is silent, and no port has more clients at once than [`MOST_CLIENTS`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{AbortHandle, JoinSet};

use crate::error::DriverError;
use crate::job::{Port, Transport};

/// How long a forwarder rests after it could not take a connection.
const RETRY: Duration = Duration::from_millis(20);
/// How long a client of a datagram port may be silent before the next answer would not find it.
const SILENCE: Duration = Duration::from_secs(60);
/// How many clients of one port are served at once; more are not until others leave or fall silent.
const MOST_CLIENTS: usize = 1024;
/// No datagram is longer.
const LONGEST: usize = 65_535;

/// Takes a port of the host, on every address, and passes on what arrives there to `to`.
pub(super) async fn publish(
    port: Port,
    to: SocketAddr,
    forwarders: &mut JoinSet<()>,
) -> Result<(), DriverError> {
    let taken = |source| DriverError::Port { port: port.host, source };
    let [six, four] = [IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::UNSPECIFIED)]
        .map(|everywhere| SocketAddr::from((everywhere, port.host)));
    match port.protocol {
        Transport::Tcp => {
            let mut bound = TcpListener::bind(six).await;
            if bound.as_ref().is_err_and(is_without_version_six) {
                bound = TcpListener::bind(four).await;
            }
            forwarders.spawn(streams(bound.map_err(taken)?, to, MOST_CLIENTS));
        }
        Transport::Udp => {
            let mut bound = UdpSocket::bind(six).await;
            if bound.as_ref().is_err_and(is_without_version_six) {
                bound = UdpSocket::bind(four).await;
            }
            forwarders.spawn(datagrams(Arc::new(bound.map_err(taken)?), to));
        }
    }
    Ok(())
}

/// A host without IPv6 refuses its addresses; that a port is taken is something else.
fn is_without_version_six(error: &std::io::Error) -> bool {
    error.kind() != std::io::ErrorKind::AddrInUse && error.kind() != std::io::ErrorKind::PermissionDenied
}

async fn streams(listener: TcpListener, to: SocketAddr, most: usize) {
    // Connections end with the listener: they are its set's.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // More of them wait in the kernel, which holds few, until others end.
        while connections.len() >= most {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((client, _)) => {
                connections.spawn(join(client, to));
            }
            // Out of descriptors, or a client that went away: the next one may do better, a moment later.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

async fn join(mut client: TcpStream, to: SocketAddr) {
    // A workload that does not listen yet, or any more, is a connection that closes: as it would be without a forwarder.
    if let Ok(mut inside) = TcpStream::connect(to).await {
        let _ = copy_bidirectional(&mut client, &mut inside).await;
    }
}

/// Somebody who sent a datagram, and where answers to it arrive.
struct Client {
    inside: Arc<UdpSocket>,
    spoke: Arc<AtomicBool>,
    answers: AbortHandle,
}

async fn datagrams(outside: Arc<UdpSocket>, to: SocketAddr) {
    let mut answering = JoinSet::new();
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let Ok((length, from)) = outside.recv_from(&mut buffer).await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        while answering.try_join_next().is_some() {}
        if clients.get(&from).is_none_or(|client| client.answers.is_finished()) {
            clients.retain(|_, client| !client.answers.is_finished());
            if clients.len() >= MOST_CLIENTS {
                continue;
            }
            let Ok(inside) = connected(to).await else { continue };
            let (inside, spoke) = (Arc::new(inside), Arc::new(AtomicBool::new(false)));
            let work = answers(Arc::clone(&inside), Arc::clone(&outside), from, Arc::clone(&spoke));
            let answers = answering.spawn(work);
            clients.insert(from, Client { inside, spoke, answers });
        }
        if let Some(client) = clients.get(&from) {
            client.spoke.store(true, Ordering::Relaxed);
            // Nobody who sends a datagram is told that it did not arrive.
            let _ = client.inside.send(buffer.get(..length).unwrap_or_default()).await;
        }
    }
}

async fn connected(to: SocketAddr) -> std::io::Result<UdpSocket> {
    let own: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// Passes answers back until neither side said anything for a while.
async fn answers(
    inside: Arc<UdpSocket>,
    outside: Arc<UdpSocket>,
    client: SocketAddr,
    spoke: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; LONGEST];
    loop {
        match tokio::time::timeout(SILENCE, inside.recv(&mut buffer)).await {
            Ok(Ok(length)) => {
                let _ = outside.send_to(buffer.get(..length).unwrap_or_default(), client).await;
            }
            // Nobody listens there yet, or any more.
            Ok(Err(_)) => tokio::time::sleep(RETRY).await,
            Err(_) if spoke.swap(false, Ordering::Relaxed) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port of this host that nobody has just now.
    async fn free(protocol: Transport) -> u16 {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let address = match protocol {
            Transport::Tcp => TcpListener::bind(any).await.unwrap().local_addr(),
            Transport::Udp => UdpSocket::bind(any).await.unwrap().local_addr(),
        };
        address.unwrap().port()
    }

    #[tokio::test]
    async fn v_38_datagrams_and_their_answers_find_each_other() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (to, host) = (server.local_addr().unwrap(), free(Transport::Udp).await);
        let port = Port { host, container: to.port(), protocol: Transport::Udp };
        let mut forwarders = JoinSet::new();
        publish(port, to, &mut forwarders).await.unwrap();
        let clients = [
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
        ];
        let mut buffer = [0; 64];
        let mut asked = Vec::new();
        for (client, word) in clients.iter().zip([b"one", b"two"]) {
            client.send_to(word, (Ipv4Addr::LOCALHOST, host)).await.unwrap();
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], word);
            asked.push(from);
        }
        // Answered in the other order: each goes to who asked.
        for (client, from) in clients.iter().zip(&asked).rev() {
            server.send_to(from.to_string().as_bytes(), from).await.unwrap();
            let (length, _) = client.recv_from(&mut buffer).await.unwrap();
            assert_eq!(buffer[..length], *from.to_string().as_bytes());
        }
        // A port that is taken is said.
        let again = publish(port, to, &mut JoinSet::new()).await.unwrap_err().to_string();
        assert!(again.contains(&format!("cannot publish port {host} of the host")), "{again}");
    }

    #[tokio::test]
    async fn a_client_too_many_is_served_when_another_leaves() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let outside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = outside.local_addr().unwrap();
        let mut forwarders = JoinSet::new();
        forwarders.spawn(streams(outside, server.local_addr().unwrap(), 1));
        let first = TcpStream::connect(at).await.unwrap();
        let served = server.accept().await.unwrap();
        let _second = TcpStream::connect(at).await.unwrap();
        let early = tokio::time::timeout(RETRY * 5, server.accept()).await;
        assert!(early.is_err(), "one is served, and one may be");
        drop((first, served));
        server.accept().await.unwrap();
    }
}
