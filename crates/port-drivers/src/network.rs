//! The bridge that workloads share, and the ports of the host that lead to one of them.
//!
//! ```text
//! client ─► host:8080 ─► forwarder (supervisor) ─► 10.209.0.N:80 ─ port0 ─ vb-… ═ host0 in the workload
//! ```
//!
//! Ports are forwarded by the supervisor, so no rule of a firewall can outlive it. The bridge is made by the first workload
//! and removed by the last; what connects a workload to it goes with the workload's network namespace. Workloads reach the host and
//! each other; the way out of the host is not made here.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use port_content::lock::{self, Mode};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::error::DriverError;
use crate::job::Bridge;
use crate::record::Record;
use crate::room::{Room, Rooms, State};

/// The bridge's name on the host.
pub(crate) const BRIDGE: &str = "port0";
/// The host's address on it, and the prefix of all.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 209, 0, 1);
const PREFIX: u8 = 24;
/// How long a forwarder rests after it could not take a connection.
const RETRY: Duration = Duration::from_millis(20);
/// What nspawn calls the workload's side.
const INSIDE: &str = "host0";

/// Whether an address is one that a workload on the bridge may have.
pub(crate) fn is_on_bridge(address: Ipv4Addr) -> bool {
    let [.., last] = address.octets();
    address.octets().starts_with(&[10, 209, 0]) && (2..255).contains(&last)
}

/// A workload's place on the bridge. Dropping it stops its forwarders.
#[derive(Debug)]
pub(crate) struct Connection {
    address: Ipv4Addr,
    _forwarders: JoinSet<()>,
}

/// Chooses an address, makes the bridge, and takes the ports: before anything is started, so that a port that is taken is said.
pub(crate) async fn connect(
    room: &Room,
    bridge: &Bridge,
    record: &mut Record,
) -> Result<Connection, DriverError> {
    let _lock = lock::lock(&lock_file(room), Mode::Exclusive)?;
    let address = choose(room, bridge)?;
    // Another workload made it, or a killed one left it: it is addressed and started again, which says whether it is there.
    let _ = ip("make the bridge", &["link", "add", BRIDGE, "type", "bridge"]).await;
    ip("address the bridge", &["address", "replace", &format!("{HOST}/{PREFIX}"), "dev", BRIDGE]).await?;
    ip("start the bridge", &["link", "set", BRIDGE, "up"]).await?;
    let mut forwarders = JoinSet::new();
    for port in &bridge.ports {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.host)).await;
        let listener = listener.map_err(|source| DriverError::Port { port: port.host, source })?;
        forwarders.spawn(forward(listener, SocketAddr::from((address, port.container))));
    }
    // Written before the lock is given back: the next one looks at the records.
    record.address = Some(address);
    room.write_record(record)?;
    Ok(Connection { address, _forwarders: forwarders })
}

impl Connection {
    /// Configures the workload's side, as soon as its first process is there.
    pub(crate) async fn configure(&self, init: u32) -> Result<(), DriverError> {
        let address = format!("{}/{PREFIX}", self.address);
        let steps: [(&str, &[&str]); 3] = [
            ("address the workload", &["address", "add", &address, "dev", INSIDE]),
            ("connect the workload", &["link", "set", INSIDE, "up"]),
            ("lead the workload to the host", &["route", "add", "default", "via", &HOST.to_string()]),
        ];
        for (step, arguments) in steps {
            let init = init.to_string();
            let entered = ["-t", &init, "-n", "--", "ip"];
            done(step, "nsenter", &[&entered[..], arguments].concat()).await?;
        }
        Ok(())
    }
}

/// Removes the bridge if no other workload that lives is on it. Nothing depends on whether that succeeds: the next workload
/// uses it, or removes it. Whoever has the network just now does it later, so nobody is waited for.
pub(crate) fn disconnect(room: &Room) -> Result<(), DriverError> {
    let Some(_lock) = lock::try_lock(&lock_file(room), Mode::Exclusive)? else { return Ok(()) };
    if taken(room)?.is_empty() {
        let mut command = std::process::Command::new("ip");
        command
            .args(["link", "delete", BRIDGE])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().map_err(|source| DriverError::Spawn { program: "ip".into(), source })?;
    }
    Ok(())
}

fn lock_file(room: &Room) -> PathBuf {
    room.directory().with_file_name(".network.lock")
}

/// The addresses of all other workloads that live.
fn taken(room: &Room) -> Result<BTreeSet<Ipv4Addr>, DriverError> {
    let mut taken = BTreeSet::new();
    let rooms = Rooms::new(room.directory().parent().unwrap_or(Path::new("/")).to_owned());
    for other in rooms.all()?.into_iter().filter(|other| other.name() != room.name()) {
        if let State::Alive(record) = other.state()? {
            taken.extend(record.address);
        }
    }
    Ok(taken)
}

/// The address that was asked for, else the lowest that no living workload has.
fn choose(room: &Room, bridge: &Bridge) -> Result<Ipv4Addr, DriverError> {
    let taken = taken(room)?;
    let free = |address: &Ipv4Addr| !taken.contains(address);
    let [a, b, c, _] = HOST.octets();
    let mut all = (2..255).map(|last| Ipv4Addr::new(a, b, c, last));
    let chosen = match bridge.address {
        Some(address) => Some(address).filter(free),
        None => all.find(free),
    };
    chosen.ok_or_else(|| {
        let asked = bridge.address.map_or_else(|| "every address".to_owned(), |address| address.to_string());
        DriverError::AddressTaken { address: asked }
    })
}

async fn forward(listener: TcpListener, to: SocketAddr) {
    // Connections end with the listener: they are its set's.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
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

async fn ip(step: &str, arguments: &[&str]) -> Result<(), DriverError> {
    done(step, "ip", arguments).await
}

async fn done(step: &str, program: &str, arguments: &[&str]) -> Result<(), DriverError> {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output().await;
    let output = output.map_err(|source| DriverError::Spawn { program: program.into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().chars().take(500).collect();
    Err(DriverError::Step {
        step: step.to_owned(),
        program: program.to_owned(),
        status: output.status,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_36_addresses_of_the_bridge() {
        let on = |text: &str| is_on_bridge(text.parse().unwrap());
        assert!(on("10.209.0.2") && on("10.209.0.254"));
        assert!(!on("10.209.0.1") && !on("10.209.0.255") && !on("10.209.1.2") && !on("192.168.0.2"));
    }
}
