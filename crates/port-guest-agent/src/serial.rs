//! The serial transport: one pipe, one host after the other, and no connections to tell them apart.
//!
//! ```text
//! absent ──found──► open ──host there──► served ──host gone──► waiting ──host there──► served
//!    ▲                └──────────────────── device gone ◄──────────┘
//! ```
//!
//! A guest may have more ports of the agent's, `org.port.agent.1` and on, each for another host process: QEMU lists them before the
//! first one, so when that is there they all are.
//!
//! A virtio port without a host reads as its end and never blocks, so the wait for the next host is by looking
//! again; the descriptor stays open, since closing it would throw away what a new host has already said.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use port_guest_protocol::{MOST_VIRTIO_SERIAL_PORTS, VIRTIO_SERIAL_NAME, VIRTIO_SERIAL_PREFIX};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::termios::OptionalActions;

use crate::connection::Connection;
use crate::dispatch::{Agent, serve};
use crate::error::{Lost, OperationError, chain};
use crate::log;
use crate::options::SerialChoice;

/// Where the kernel lists the named ports.
const PORTS: &str = "/sys/class/virtio-ports";
/// How often to look for a host, or a port, that was there a moment ago.
const SOON: Duration = Duration::from_millis(50);
/// How often later.
const LATER: Duration = Duration::from_millis(250);
/// After how long it is later.
const PATIENCE: Duration = Duration::from_secs(3);

/// Serves the port whenever there is one.
pub(crate) fn start(agent: &Arc<Agent>, choice: SerialChoice) -> Result<JoinHandle<()>, OperationError> {
    let agent = Arc::clone(agent);
    let thread = std::thread::Builder::new().name("serial".to_owned());
    thread.spawn(move || run(&agent, choice)).map_err(OperationError::system("start a thread for", "serial"))
}

fn run(agent: &Arc<Agent>, mut choice: SerialChoice) {
    let mut told = None;
    let mut since = Instant::now();
    loop {
        let found = match &choice {
            SerialChoice::Auto => find(Path::new(PORTS), VIRTIO_SERIAL_NAME),
            SerialChoice::Path(path) => Some(path.clone()),
        };
        if let (SerialChoice::Auto, Some(path)) = (&choice, &found) {
            choice = SerialChoice::Path(path.clone());
            start_others(agent);
        }
        let opened = found.as_deref().map(|path| open(path).map(|connection| (path, connection)));
        match opened {
            Some(Ok((path, mut connection))) => {
                log::line(format_args!("serving serial port {}", path.display()));
                attend(agent, &mut connection, path);
                (told, since) = (None, Instant::now());
            }
            Some(Err(error)) => {
                // Once per reason: a port that is busy for an hour is not worth a full log.
                let message = chain(&error);
                if told.as_ref() != Some(&message) {
                    log::line(format_args!("{message}"));
                    told = Some(message);
                }
            }
            None => {}
        }
        pause(since);
    }
}

/// One thread for each further port of the agent's.
fn start_others(agent: &Arc<Agent>) {
    let names = (1..MOST_VIRTIO_SERIAL_PORTS).map(|number| format!("{VIRTIO_SERIAL_PREFIX}{number}"));
    for path in names.map_while(|name| find(Path::new(PORTS), &name)) {
        if let Err(error) = start(agent, SerialChoice::Path(path)) {
            log::line(format_args!("{}", chain(&error)));
        }
    }
}

fn pause(since: Instant) {
    std::thread::sleep(if since.elapsed() < PATIENCE { SOON } else { LATER });
}

/// The device of the port of this name.
fn find(ports: &Path, wanted: &str) -> Option<PathBuf> {
    std::fs::read_dir(ports).ok()?.flatten().find_map(|entry| {
        let mut name = String::new();
        File::open(entry.path().join("name")).ok()?.take(256).read_to_string(&mut name).ok()?;
        (name.trim_end() == wanted).then(|| Path::new("/dev").join(entry.file_name()))
    })
}

fn open(path: &Path) -> Result<Connection, OperationError> {
    let failed = |operation| OperationError::system(operation, path.display());
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd: OwnedFd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(failed("open"))?;
    // A real serial line would echo every answer back as a request.
    if let Ok(mut settings) = rustix::termios::tcgetattr(&fd) {
        settings.make_raw();
        rustix::termios::tcsetattr(&fd, OptionalActions::Now, &settings).map_err(failed("make raw"))?;
    }
    Ok(Connection::new(fd)?)
}

/// Serves one host after the other until the device itself is gone.
fn attend(agent: &Agent, connection: &mut Connection, path: &Path) {
    loop {
        let lost = serve(agent, connection, None);
        connection.reset();
        match lost {
            Lost::HungUp if host_returns(connection, path) => {}
            // Half a line from a host that died: the next one begins anew.
            Lost::TooSlow { .. } => {}
            Lost::HungUp => return,
            Lost::Broken(_) => {
                log::line(format_args!("serial port {}: {}", path.display(), chain(&lost)));
                return;
            }
        }
    }
}

/// Waits for the next host; tells whether there is one, or another device under the path.
fn host_returns(connection: &Connection, path: &Path) -> bool {
    let since = Instant::now();
    loop {
        pause(since);
        let mut polled = [PollFd::from_borrowed_fd(connection.fd(), PollFlags::IN)];
        let polled_well = rustix::event::poll(&mut polled, Some(&Timespec::default())).is_ok();
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if polled_well && polled.iter().all(|port| !port.revents().intersects(gone)) {
            return true;
        }
        if !is_same_device(connection, path) {
            return false;
        }
    }
}

fn is_same_device(connection: &Connection, path: &Path) -> bool {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino, stat.st_rdev);
    let held = rustix::fs::fstat(connection.fd().as_fd()).map(identity);
    held.is_ok() && held == rustix::fs::stat(path).map(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_its_name() {
        let ports = tempfile::tempdir().unwrap();
        assert_eq!(find(ports.path(), VIRTIO_SERIAL_NAME), None);
        for (port, name) in [("vport0p1", "com.example.other\n"), ("vport1p2", "org.port.agent.0\n")] {
            std::fs::create_dir(ports.path().join(port)).unwrap();
            assert_eq!(find(ports.path(), VIRTIO_SERIAL_NAME), None);
            std::fs::write(ports.path().join(port).join("name"), name).unwrap();
        }
        std::fs::create_dir(ports.path().join("vport9p9")).unwrap();
        assert_eq!(find(ports.path(), VIRTIO_SERIAL_NAME), Some("/dev/vport1p2".into()));
        std::fs::write(ports.path().join("vport0p1/name"), "org.port.agent.1\n").unwrap();
        assert_eq!(find(ports.path(), "org.port.agent.1"), Some("/dev/vport0p1".into()));
        assert_eq!(find(&ports.path().join("none"), VIRTIO_SERIAL_NAME), None);
    }
}
