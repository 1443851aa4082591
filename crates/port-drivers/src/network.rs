//! The bridge that workloads share, and the ports of the host that lead to one of them.
//!
//! ```text
//! client ─► host:8080 ─► forwarder (supervisor) ─► 10.209.0.N:80 ─ port0 ─ vb-… ═ host0 in the workload
//! workload ─► 10.209.0.1 ─► the host, or beyond it (way_out.rs)
//! ```
//!
//! Ports are forwarded by the supervisor, and the way out is a table that the kernel removes with it, so no rule of a firewall can
//! outlive it. The bridge is made by the first workload and removed by the last; what connects a workload to it goes with the
//! workload's network namespace.
//!
//! A workload has one number, which is the end of its IPv4 address and of its IPv6 address.

mod forward;
mod way_out;

mod links;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use port_content::fs;
use port_content::lock::{self, Mode};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt as _;
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
/// The same in IPv6: a prefix that nobody routes (RFC 4193).
const HOST_SIX: Ipv6Addr = Ipv6Addr::new(0xfd50, 0x6f72, 0x7430, 0, 0, 0, 0, 1);
const PREFIX_SIX: u8 = 64;
/// Says whether the host has IPv6; absent where its kernel has none.
const SIX_IS_OFF: &str = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
/// What nspawn calls the workload's side.
const INSIDE: &str = "host0";

/// Whether an address is one that a workload on the bridge may have.
pub(crate) fn is_on_bridge(address: Ipv4Addr) -> bool {
    let [.., last] = address.octets();
    address.octets().starts_with(&[10, 209, 0]) && (2..255).contains(&last)
}

/// The IPv4 address of a workload that asks for this address; none where it is not on the bridge.
pub(crate) fn on_bridge(address: IpAddr) -> Option<Ipv4Addr> {
    let asked = match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => {
            let last = u8::try_from(*address.segments().last()?).ok()?;
            let [a, b, c, _] = HOST.octets();
            let four = Ipv4Addr::new(a, b, c, last);
            if six(four) != address {
                return None;
            }
            four
        }
    };
    is_on_bridge(asked).then_some(asked)
}

/// The IPv6 address that goes with an IPv4 address.
fn six(address: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, _] = HOST_SIX.segments();
    let [.., number] = address.octets();
    Ipv6Addr::new(a, b, c, d, e, f, g, number.into())
}

/// A workload's place on the bridge. Dropping it stops its forwarders, and closes its way out.
#[derive(Debug)]
pub(crate) struct Connection {
    address: Ipv4Addr,
    has_six: bool,
    _forwarders: JoinSet<()>,
    _way_out: Option<way_out::WayOut>,
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
    let has_six = fs::read_to_string(Path::new(SIX_IS_OFF), 16).is_ok_and(|off| off.trim() == "0");
    let mut lines = vec![format!("address replace {HOST}/{PREFIX} dev {BRIDGE}")];
    lines.extend(has_six.then(|| format!("address replace {HOST_SIX}/{PREFIX_SIX} dev {BRIDGE} nodad")));
    lines.push(format!("link set {BRIDGE} up"));
    fed("start the bridge", "ip", &["-batch", "-"], &lines).await?;
    let mut forwarders = JoinSet::new();
    for port in &bridge.ports {
        forward::publish(*port, SocketAddr::from((address, port.container)), &mut forwarders).await?;
    }
    // A kernel without tables, or one that owns none: the host and the other workloads are reached all the same.
    let way_out = way_out::open(address, BRIDGE);
    record.warnings.extend(way_out.as_ref().err().map(no_way_out));
    // Written before the lock is given back: the next one looks at the records.
    record.address = Some(address);
    room.write_record(record)?;
    Ok(Connection { address, has_six, _forwarders: forwarders, _way_out: way_out.ok() })
}

fn no_way_out(error: &Errno) -> String {
    format!(
        "`network.mode`: expected a kernel that gives the workload a way out of the host (nf_tables, Linux 5.12), found none: {}",
        std::io::Error::from(*error)
    )
}

impl Connection {
    /// Configures the workload's side, as soon as its first process is there.
    pub(crate) async fn configure(&self, init: u32) -> Result<(), DriverError> {
        let mut lines = vec![format!("link set {INSIDE} up")];
        if self.has_six {
            lines.push(format!("address add {}/{PREFIX_SIX} dev {INSIDE} nodad", six(self.address)));
            lines.push(format!("route add default via {HOST_SIX}"));
        }
        lines.push(format!("address add {}/{PREFIX} dev {INSIDE}", self.address));
        // The last of all: the launcher waits for it.
        lines.push(format!("route add default via {HOST}"));
        let arguments = ["-t", &init.to_string(), "-n", "--", "ip", "-batch", "-"];
        fed("connect the workload", "nsenter", &arguments, &lines).await
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

/// The addresses of all other workloads that live. What another version left is no workload of the bridge, unless it lives.
fn taken(room: &Room) -> Result<BTreeSet<Ipv4Addr>, DriverError> {
    let mut taken = BTreeSet::new();
    let rooms = Rooms::new(room.directory().parent().unwrap_or(Path::new("/")).to_owned());
    for other in rooms.all()?.into_iter().filter(|other| other.name() != room.name()) {
        match other.state() {
            Ok(State::Alive(record)) => taken.extend(record.address),
            Err(error) if other.is_taken() => return Err(error),
            Ok(State::Ended(_)) | Err(_) => {}
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

async fn ip(step: &str, arguments: &[&str]) -> Result<(), DriverError> {
    done(step, "ip", arguments).await
}

async fn done(step: &str, program: &str, arguments: &[&str]) -> Result<(), DriverError> {
    fed(step, program, arguments, &[]).await
}

/// Runs a program that reads `lines`.
async fn fed(step: &str, program: &str, arguments: &[&str], lines: &[String]) -> Result<(), DriverError> {
    let failed = |source| DriverError::Spawn { program: program.into(), source };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why by its status.
        let _ = stdin.write_all(lines.join("\n").as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
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
        for (asked, found) in [
            ("10.209.0.7", Some("10.209.0.7")),
            ("fd50:6f72:7430::7", Some("10.209.0.7")),
            ("fd50:6f72:7430::fe", Some("10.209.0.254")),
            ("fd50:6f72:7430::1", None),
            ("fd50:6f72:7430::ff", None),
            ("fd50:6f72:7430::107", None),
            ("fd50:6f72:7430:1::7", None),
            ("::7", None),
        ] {
            let found = found.map(|text| text.parse().unwrap());
            assert_eq!(on_bridge(asked.parse().unwrap()), found, "{asked}");
        }
        assert!(!on("10.209.0.1") && !on("10.209.0.255") && !on("10.209.1.2") && !on("192.168.0.2"));
    }

    #[test]
    fn a_room_of_another_version_is_in_nobodys_way_unless_it_lives() {
        let directory = tempfile::tempdir().unwrap();
        let rooms = Rooms::new(directory.path().to_owned());
        let (room, old) = (rooms.room("web"), rooms.room("old"));
        fs::create_dir_all(old.directory()).unwrap();
        port_content::atomic::write(&old.directory().join("job.json"), b"{}").unwrap();
        let record = Record { version: 2, ..Record::starting(1, Vec::new()) };
        old.write_record(&record).unwrap();
        assert!(taken(&room).unwrap().is_empty());
        let _lock = old.take().unwrap().unwrap();
        assert!(taken(&room).is_err(), "nobody knows which address it has");
    }
}
