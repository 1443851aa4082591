//! The transports that take many connections: a Unix socket and vsock. One thread per connection, up to the limit.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::Mode;

use crate::connection::{Connection, failed};
use crate::dispatch::{Agent, serve};
use crate::error::{Lost, OperationError, chain};
use crate::{log, vsock};

/// How long to wait when the system has no descriptors left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long a host may take to hear why it is turned away.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a Unix socket that only its owner may use.
pub(crate) fn unix(agent: &Arc<Agent>, path: &Path) -> Result<JoinHandle<()>, OperationError> {
    let listener = bind(path).map_err(OperationError::system("listen on", path.display()))?;
    start(agent, "unix", move || listener.accept().map(|(stream, _)| Some(stream.into())))
}

/// Serves a vsock port, for the host alone.
pub(crate) fn vsock(agent: &Arc<Agent>, port: u32) -> Result<JoinHandle<()>, OperationError> {
    let listener =
        vsock::listen(port).map_err(OperationError::system("listen on", format!("vsock port {port}")))?;
    start(agent, "vsock", move || Ok(vsock::accept(&listener)?))
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    // A socket nobody listens on is a dead agent's; anything else is not ours to remove.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    // The mask and not a later chmod: there must be no moment at which others can connect.
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    listener
}

fn start(
    agent: &Arc<Agent>,
    name: &str,
    accept: impl Fn() -> io::Result<Option<OwnedFd>> + Send + 'static,
) -> Result<JoinHandle<()>, OperationError> {
    let agent = Arc::clone(agent);
    let run = move || loop {
        match accept() {
            Ok(Some(fd)) => admit(&agent, fd),
            Ok(None) => log::line(format_args!("turned away a connection that is not the host's")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                log::line(format_args!("cannot take a connection: {error}"));
                std::thread::sleep(EXHAUSTED_PAUSE);
            }
        }
    };
    let thread = std::thread::Builder::new().name(format!("listen-{name}"));
    thread.spawn(run).map_err(OperationError::system("start a thread for", name))
}

/// Gives the connection a thread of its own, or tells it that there is none left.
fn admit(agent: &Arc<Agent>, fd: OwnedFd) {
    let Ok(mut connection) = Connection::new(fd) else { return };
    let Some(slot) = agent.enter() else {
        let message =
            format!("expected at most {} connections at once, found one more", agent.max_connections);
        // Not waited for: whoever floods the agent must not also hold its listener.
        let _ = connection.send(failed(None, message, None));
        return;
    };
    let thread_agent = Arc::clone(agent);
    let run = move || {
        let _slot = slot;
        let lost = serve(&thread_agent, &mut connection, Some(thread_agent.handshake));
        match &lost {
            Lost::HungUp => {}
            Lost::TooSlow { .. } => {
                let _ = connection.send(failed(None, lost.to_string(), None));
                let _ = connection.flush(FAREWELL);
            }
            Lost::Broken(_) => log::line(format_args!("{}", chain(&lost))),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("connection".to_owned()).spawn(run) {
        log::line(format_args!("cannot start a thread for a connection: {error}"));
    }
}
