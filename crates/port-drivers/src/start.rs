//! Starting a supervisor, and stopping one: what a command does that is not the supervisor itself.
//!
//! ```text
//! keeper ─► unshare (own mounts; the host's still come in) ─► [setpriv: dies with who is attached] ─► port … supervise
//! ```
//!
//! Each becomes the next, so the process id is the supervisor's from the beginning; but where systemd keeps it (`keeper.rs`), which
//! starts the second one itself.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use port_content::fs;
use port_content::lock::Lock;
use rustix::process::Signal;
use tokio::process::Child;

use crate::error::DriverError;
use crate::inside;
use crate::job::Job;
use crate::keeper::{self, Keeper};
use crate::record::{Record, Status};
use crate::room::{Room, State};

/// How often state is looked at while something is waited for.
const INTERVAL: Duration = Duration::from_millis(5);
/// How long a killed workload may take to be gone.
const KILL_TIME: Duration = Duration::from_secs(10);
/// How long a supervisor may take to have its room.
const APPEAR_TIME: Duration = Duration::from_secs(10);
/// What is shown of a supervisor's last words.
const LAST_WORDS: u64 = 64 << 10;

/// Whether somebody stays with a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// It has the caller's standard streams, and ends with the caller.
    Attached,
    /// It goes on alone.
    Detached,
}

/// What becomes a supervisor.
#[derive(Debug, Clone)]
pub struct Starter {
    /// The program, and the words before the room's directory.
    pub program: PathBuf,
    /// The arguments that make it a supervisor.
    pub arguments: Vec<String>,
    /// Its `PATH`.
    pub path: std::ffi::OsString,
}

/// A supervisor that was started.
#[derive(Debug)]
pub struct Started {
    room: Room,
    keeper: Box<dyn Keeper>,
    child: Child,
    // Held until the supervisor has the room: two starts of one name must not both begin.
    claim: Option<Lock>,
}

/// A room that nobody else starts anything in.
#[derive(Debug)]
pub struct Claim {
    room: Room,
    lock: Lock,
}

/// Claims a room. What lies in it may be changed, since nothing of it runs.
///
/// # Errors
/// The name runs already, or is being started.
pub fn claim(room: &Room) -> Result<Claim, DriverError> {
    let running = || DriverError::Running { name: room.name().to_owned() };
    let lock = room.claim_start()?.ok_or_else(running)?;
    if let State::Alive(_) = room.state()? {
        return Err(running());
    }
    Ok(Claim { room: room.clone(), lock })
}

/// Starts a supervisor for a job.
///
/// # Errors
/// The process cannot be started.
pub fn start(
    claim: Claim,
    job: &Job,
    starter: &Starter,
    attachment: Attachment,
) -> Result<Started, DriverError> {
    let Claim { room, lock } = claim;
    let room = &room;
    room.write_job(job)?;
    let keeper = match attachment {
        Attachment::Attached => keeper::alone(),
        Attachment::Detached => keeper::of_host(&starter.path),
    };
    let mut command = keeper.command(room, &starter.path);
    command.args(["unshare", "--mount", "--propagation", "slave", "--"]);
    if attachment == Attachment::Attached {
        command.args(["setpriv", "--pdeathsig", "TERM", "--"]);
    }
    command.arg(&starter.program).args(&starter.arguments).arg(room.directory());
    command.env_clear().env("PATH", &starter.path);
    if attachment == Attachment::Attached {
        command.arg("--attached");
    } else {
        let words = fs::create_scratch(&room.last_words())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(words).current_dir("/");
    }
    let spawned = command.spawn();
    let child = spawned.map_err(|source| DriverError::Spawn { program: keeper.program().into(), source })?;
    Ok(Started { room: room.clone(), keeper, child, claim: Some(lock) })
}

impl Started {
    /// Waits until the command runs.
    ///
    /// # Errors
    /// It never did.
    pub async fn running(&mut self) -> Result<Record, DriverError> {
        let mut waited = None;
        loop {
            let ended = self.child.try_wait().map_err(DriverError::process("look after the supervisor"))?;
            let record = self.room.record()?;
            match record {
                Some(Record { status: Status::Failed { reason }, .. }) => {
                    return Err(self.not_started(reason));
                }
                Some(record) if record.status != Status::Starting => {
                    self.claim = None;
                    return Ok(record);
                }
                _ => {}
            }
            if let Some(status) = ended.filter(|status| !self.is_elsewhere(*status, &mut waited)) {
                let words = fs::read_to_string(&self.room.last_words(), LAST_WORDS).unwrap_or_default();
                let reason = format!("its supervisor ended with {status}: {}", words.trim());
                return Err(self.not_started(reason));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Waits until the supervisor ends, and says what it wrote down.
    ///
    /// # Errors
    /// The workload never ran, or nobody knows how it ended.
    pub async fn ended(&mut self) -> Result<Record, DriverError> {
        let status = self.child.wait().await.map_err(DriverError::process("wait for the supervisor"))?;
        self.claim = None;
        match self.room.record()? {
            Some(Record { status: Status::Failed { reason }, .. }) => Err(self.not_started(reason)),
            Some(record) if matches!(record.status, Status::Exited { .. }) => Ok(record),
            _ => Err(self.not_started(format!("its supervisor ended with {status}"))),
        }
    }

    /// Tells the supervisor to stop the workload, or to kill it.
    pub fn tell(&self, signal: Signal) {
        if let Some(id) = self.child.id() {
            inside::signal(id, signal);
        }
    }

    /// Whether who started the supervisor did so and left, and it is there, or may come to be there yet.
    fn is_elsewhere(&self, status: ExitStatus, waited: &mut Option<Instant>) -> bool {
        if self.keeper.becomes() || !status.success() {
            return false;
        }
        waited.get_or_insert_with(Instant::now).elapsed() < APPEAR_TIME || self.room.is_taken()
    }

    fn not_started(&self, reason: String) -> DriverError {
        DriverError::NotStarted { name: self.room.name().to_owned(), reason }
    }
}

/// How a workload was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It ended when it was asked to.
    Asked,
    /// It had to be killed.
    Killed,
}

/// Asks a workload to end, and kills it where it does not within `grace`.
///
/// # Errors
/// It does not run, or survives its killing.
pub async fn stop(room: &Room, grace: Duration) -> Result<Stopped, DriverError> {
    let record = match room.state()? {
        State::Alive(record) => record,
        State::Ended(record) => {
            let (name, state) = (room.name().to_owned(), record.status.to_string());
            return Err(DriverError::NotRunning { name, state });
        }
    };
    inside::signal(record.supervisor, Signal::TERM);
    if ends_within(room, grace).await? {
        return Ok(Stopped::Asked);
    }
    inside::signal(record.supervisor, Signal::QUIT);
    if ends_within(room, KILL_TIME).await? {
        return Ok(Stopped::Killed);
    }
    Err(DriverError::Unstoppable { name: room.name().to_owned(), waited_seconds: KILL_TIME.as_secs() })
}

async fn ends_within(room: &Room, patience: Duration) -> Result<bool, DriverError> {
    let begun = Instant::now();
    loop {
        if let State::Ended(_) = room.state()? {
            return Ok(true);
        }
        if begun.elapsed() >= patience {
            return Ok(false);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
