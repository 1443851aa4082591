//! The supervisor: one process per workload, which mounts its root, starts it, writes its log, passes on signals, and
//! writes down how it ended. It stands where systemd would, and needs none.
//!
//! ```text
//! lock ─► control groups ─► root ─► command ─┬─ ends ──────────────► record, groups removed
//!                                            ├─ SIGTERM: ask it ────┘
//!                                            └─ SIGQUIT: kill it ───┘
//! ```
//!
//! It runs in a mount namespace of its own (`start.rs`). What it starts dies with it, killed or not: the kernel sends the
//! signal (`setpriv --pdeathsig`), and a guard takes what is in the container along (`guard.rs`).

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::control_group;
use crate::error::DriverError;
use crate::exec::joining;
use crate::guard::Guard;
use crate::inside;
use crate::job::Job;
use crate::log::LogWriter;
use crate::mounts::mount_root;
use crate::network::{self, Connection};
use crate::record::{Record, Status};
use crate::room::{NAME_SERVERS, Room};

/// How often a container that starts is looked at.
const INTERVAL: Duration = Duration::from_millis(5);
/// The last process of a group is gone a moment after it ended.
const GROUP_ATTEMPTS: u32 = 200;
/// How a shell says that a signal ended a command.
const BY_SIGNAL: i32 = 128;

/// Somebody who watches: takes what the workload writes, as it writes it.
pub type Watcher = Box<dyn AsyncWrite + Send + Unpin>;

/// Runs the job of a room to its end; `watchers` are those of its standard output and standard error.
///
/// # Errors
/// The room is somebody else's or holds no job. What goes wrong after that is in the record.
pub async fn supervise(room: &Room, watchers: Option<[Watcher; 2]>) -> Result<Record, DriverError> {
    let name = || room.name().to_owned();
    let _lock = room.take()?.ok_or_else(|| DriverError::Running { name: name() })?;
    let job = room.job()?;
    let mut record = Record::starting(std::process::id(), job.warnings.clone());
    room.write_record(&record)?;
    let ended = run(room, &job, watchers, &mut record).await;
    remove_groups(&record.groups).await;
    if job.network.is_some() {
        network::disconnect(room)?;
    }
    (record.init, record.address) = (None, None);
    record.status = match ended {
        Ok(code) => Status::Exited { code },
        Err(error) => Status::Failed { reason: error.chain() },
    };
    room.write_record(&record)?;
    Ok(record)
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
    mount_root(room, job).await?;
    let mut child = spawn(job, &record.groups, watchers.is_some())?;
    let pumps = pumps(room, &mut child, watchers)?;
    let status = watch(room, record, &mut child, &mut signals, connection.as_ref()).await?;
    for pump in pumps {
        // A log that could not be written is said where a workload's end is.
        pump.await.unwrap_or(Ok(()))?;
    }
    Ok(status.code().unwrap_or_else(|| BY_SIGNAL + status.signal().unwrap_or_default()))
}

/// The signals that tell a supervisor what to do. Listened to before anything is started, so that none is missed.
struct Signals {
    ask: unix::Signal,
    kill: unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, DriverError> {
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

type Pump = JoinHandle<Result<(), DriverError>>;

fn pumps(room: &Room, child: &mut Child, watchers: Option<[Watcher; 2]>) -> Result<Vec<Pump>, DriverError> {
    let log = Arc::new(Mutex::new(LogWriter::open(&room.log_file())?));
    let [first, second] = watchers.map_or([None, None], |watchers| watchers.map(Some));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdout = stdout.map(|stream| tokio::spawn(pump(stream, Arc::clone(&log), first)));
    let stderr = stderr.map(|stream| tokio::spawn(pump(stream, log, second)));
    Ok(stdout.into_iter().chain(stderr).collect())
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

/// Waits for the end, and does what signals ask meanwhile.
async fn watch(
    room: &Room,
    record: &mut Record,
    child: &mut Child,
    signals: &mut Signals,
    connection: Option<&Connection>,
) -> Result<ExitStatus, DriverError> {
    let nspawn = child.id().unwrap_or_default();
    let (mut asked, mut guard) = (false, None);
    loop {
        let starts = record.init.is_none();
        tokio::select! {
            status = child.wait() => return status.map_err(DriverError::process("wait for the workload")),
            _ = signals.ask.recv() => asked = true,
            _ = signals.kill.recv() => kill(record.init, nspawn),
            () = tokio::time::sleep(INTERVAL), if starts || asked => {}
        }
        // The command is there when all that nspawn makes for it is.
        if starts && let Some(init) = inside::init_of(nspawn).filter(|init| inside::main_of(*init).is_some())
        {
            if let Some(connection) = connection {
                connection.configure(init).await?;
            }
            record.init = Some(init);
            record.status = Status::Running;
            room.write_record(record)?;
            guard.get_or_insert(Guard::over(init).await?);
        }
        // Asked once, and not before the command is there to be asked.
        if asked && let Some(main) = record.init.and_then(inside::main_of) {
            inside::signal(main, Signal::TERM);
            asked = false;
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

/// Number 1 takes all others of its namespace along.
fn kill(init: Option<u32>, nspawn: u32) {
    match init {
        Some(init) => inside::signal(init, Signal::KILL),
        None => inside::signal(nspawn, Signal::KILL),
    }
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
