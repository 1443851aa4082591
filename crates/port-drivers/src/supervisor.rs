//! The supervisor: one process per workload, which mounts its root, starts it, writes its log, passes on signals, and
//! writes down how it ended. It stands where systemd would, and needs none.
//!
//! ```text
//! lock ─► control groups ─► root ─► command ─┬─ ends ──────────────► record, groups removed
//!                                            ├─ SIGTERM: ask it ────┘
//!                                            └─ SIGQUIT: kill it ───┘
//! ```
//!
//! A workload of a machine has no processes here but its VMM (`machine/run.rs`); the others are watched in `life.rs`.
//!
//! It runs in a mount namespace of its own (`start.rs`). What it starts dies with it, killed or not: the kernel sends the
//! signal (`setpriv --pdeathsig`), and a guard takes what is in the container along (`guard.rs`).

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use port_content::lock::Lock;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::control_group;
use crate::emulated;
use crate::error::DriverError;
use crate::exec::joining;
use crate::job::{Body, Job};
use crate::life::Life;
use crate::log::LogWriter;
use crate::machine::{self, Streams};
use crate::mounts::mount_root;
use crate::native;
use crate::network;
use crate::record::{Record, Status};
use crate::room::{NAME_SERVERS, Room};

/// How often a container that starts is looked at.
const INTERVAL: Duration = Duration::from_millis(5);
/// A look at a room takes milliseconds; a second is more than that.
const LOCK_ATTEMPTS: u32 = 200;
/// The last process of a group is gone a moment after it ended.
const GROUP_ATTEMPTS: u32 = 200;
/// How a shell says that a signal ended a command.
pub(crate) const BY_SIGNAL: i32 = 128;

/// Somebody who watches: takes what the workload writes, as it writes it.
pub type Watcher = Box<dyn AsyncWrite + Send + Unpin>;

/// Runs the job of a room to its end; `watchers` are those of its standard output and standard error.
///
/// # Errors
/// The room is somebody else's or holds no job. What goes wrong after that is in the record.
pub async fn supervise(room: &Room, watchers: Option<[Watcher; 2]>) -> Result<Record, DriverError> {
    let _lock = taken(room).await?;
    let job = room.job()?;
    let mut record = Record::starting(std::process::id(), job.warnings.clone());
    room.write_record(&record)?;
    let ended = run(room, &job, watchers, &mut record).await;
    remove_groups(&record.groups).await;
    (record.init, record.address, record.agent) = (None, None, None);
    record.status = match ended {
        Ok(code) => Status::Exited { code },
        Err(error) => Status::Failed { reason: error.chain() },
    };
    room.write_record(&record)?;
    if job.network.is_some() {
        // How the workload ended is written, and what is left of the bridge the next one finds.
        let _ = network::disconnect(room);
    }
    Ok(record)
}

/// The room's lock. Whoever looks at the room just now has it for a moment.
async fn taken(room: &Room) -> Result<Lock, DriverError> {
    for _ in 0..LOCK_ATTEMPTS {
        if let Some(lock) = room.take()? {
            return Ok(lock);
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Err(DriverError::Running { name: room.name().to_owned() })
}

async fn run(
    room: &Room,
    job: &Job,
    watchers: Option<[Watcher; 2]>,
    record: &mut Record,
) -> Result<i32, DriverError> {
    let mut signals = Signals::listen()?;
    let groups = control_group::create(&job.name, &job.limits)?;
    record.groups.clone_from(&groups.directories);
    if !groups.reasons.is_empty() && !job.best_effort {
        return Err(DriverError::Unkept { reasons: groups.reasons });
    }
    record.warnings.extend(groups.reasons);
    room.write_record(record)?;
    let connection = match &job.network {
        Some(bridge) => Some(network::connect(room, bridge, record).await?),
        None => None,
    };
    write_name_servers(room, job)?;
    let log = Arc::new(Mutex::new(LogWriter::open(&room.log_file())?));
    if let Body::Machine(machine) = &job.body {
        let (streams, pumps) = piped(&log, watchers)?;
        let ended =
            machine::run(room, job, machine, record, &mut signals, streams, connection.as_ref()).await;
        finished(pumps).await?;
        return ended;
    }
    mount_root(room, job).await?;
    if let Body::Booted { .. } = &job.body {
        native::name_system(room)?;
    }
    if let Body::Emulated { volumes, launcher, writable } = &job.body {
        emulated::prepare_root(room, job, volumes, launcher, *writable).await?;
    }
    // Beside a command of its own, an init's console is for the log alone.
    let (console, mut beside) = match &job.body {
        Body::Booted { command: Some(_) } => (None, Some(watchers)),
        _ => (watchers, None),
    };
    let mut child = spawn(job, &record.groups, console.is_some())?;
    let pumps = pumps(&log, &mut child, console);
    let (child, signals) = (&mut child, &mut signals);
    let mut life = Life { room, job, record, log: &log, child, signals, killed: false };
    let watched = life.watch(connection.as_ref(), &mut beside).await;
    // The log has why it went wrong, where it did.
    let logged = finished(pumps).await;
    let status = watched?;
    logged?;
    Ok(status)
}

/// The streams of a workload that is no process of this host, and what reads them.
fn piped(log: &Log, watchers: Option<[Watcher; 2]>) -> Result<(Streams, Vec<Pump>), DriverError> {
    let stdin: Box<dyn AsyncRead + Send + Unpin> =
        if watchers.is_some() { Box::new(tokio::io::stdin()) } else { Box::new(tokio::io::empty()) };
    let [first, second] = watchers.map_or([None, None], |watchers| watchers.map(Some));
    let failed = || DriverError::process("make the workload's pipes");
    let mut pumps = Vec::new();
    let mut pipe = |watcher| {
        let (reader, writer) = std::io::pipe().map_err(failed())?;
        let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(failed())?;
        pumps.push(tokio::spawn(pump(reader, Arc::clone(log), watcher)));
        Ok::<_, DriverError>(writer)
    };
    let (stdout, stderr) = (pipe(first)?, pipe(second)?);
    Ok((Streams { stdin, stdout, stderr }, pumps))
}

/// A log that could not be written is said where a workload's end is.
pub(crate) async fn finished(pumps: Vec<Pump>) -> Result<(), DriverError> {
    for pump in pumps {
        pump.await.unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// The signals that tell a supervisor what to do. Listened to before anything is started, so that none is missed.
pub(crate) struct Signals {
    pub(crate) ask: unix::Signal,
    pub(crate) kill: unix::Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, DriverError> {
        let listen = |kind| unix::signal(kind).map_err(DriverError::process("listen to signals"));
        Ok(Self { ask: listen(SignalKind::terminate())?, kill: listen(SignalKind::quit())? })
    }
}

fn spawn(job: &Job, groups: &[std::path::PathBuf], attached: bool) -> Result<Child, DriverError> {
    let mut program: Vec<String> = ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned).into();
    program.extend(job.program.iter().cloned());
    let mut command = Command::new("/bin/sh");
    command.args(joining(groups, &program)).env_clear().envs(job.environment.iter().cloned());
    command.stdin(if attached { Stdio::inherit() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(|source| DriverError::Spawn { program: "/bin/sh".into(), source })
}

pub(crate) type Pump = JoinHandle<Result<(), DriverError>>;

/// One writer of a log whoever writes: each knows where it stands.
pub(crate) type Log = Arc<Mutex<LogWriter>>;

/// Reads what a process writes.
pub(crate) fn pumps(log: &Log, child: &mut Child, watchers: Option<[Watcher; 2]>) -> Vec<Pump> {
    let [first, second] = watchers.map_or([None, None], |watchers| watchers.map(Some));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdout = stdout.map(|stream| tokio::spawn(pump(stream, Arc::clone(log), first)));
    let stderr = stderr.map(|stream| tokio::spawn(pump(stream, Arc::clone(log), second)));
    stdout.into_iter().chain(stderr).collect()
}

async fn pump(
    mut stream: impl AsyncRead + Unpin,
    log: Arc<Mutex<LogWriter>>,
    mut watcher: Option<Watcher>,
) -> Result<(), DriverError> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).await;
        let length = read.map_err(DriverError::process("read what the workload writes"))?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        log.lock().await.append(bytes)?;
        if let Some(there) = &mut watcher {
            let written = async {
                there.write_all(bytes).await?;
                there.flush().await
            };
            // Who stops watching does not stop the workload.
            if written.await.is_err() {
                watcher = None;
            }
        }
    }
}

/// For the bind mount that the driver asked for.
fn write_name_servers(room: &Room, job: &Job) -> Result<(), DriverError> {
    if job.name_servers.is_empty() {
        return Ok(());
    }
    let lines: String = job.name_servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    Ok(port_content::atomic::write(&room.directory().join(NAME_SERVERS), lines.as_bytes())?)
}

async fn remove_groups(groups: &[std::path::PathBuf]) {
    for _ in 0..GROUP_ATTEMPTS {
        control_group::remove(groups);
        if !groups.iter().any(|group| port_content::fs::exists(group)) {
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
