//! The life of a workload that runs as processes of this host: noticed, configured, asked to end, killed.
//!
//! ```text
//! spawned ─► number 1 ─► connected ─► running ─┬─ ends by itself
//!                                              ├─ SIGTERM: asked once
//!                                              └─ SIGQUIT: number 1 is killed, which takes all others along
//! ```
//!
//! Which process is asked depends on what kind of thing runs: a container's command, a booted root's init, the program that a launcher
//! started.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use port_content::fs;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt as _;
use tokio::process::{Child, Command};

use crate::error::DriverError;
use crate::exec::{entering, joining};
use crate::guard::Guard;
use crate::inside;
use crate::job::{Body, Job};
use crate::network::Connection;
use crate::record::{Record, Status};
use crate::room::Room;
use crate::supervisor::{BY_SIGNAL, Log, Signals, Watcher, finished, pumps};

/// How often a container that starts is looked at.
const INTERVAL: Duration = Duration::from_millis(5);
/// How long an init may take to end after the command beside it did.
const INIT_TIME: Duration = Duration::from_secs(10);
/// What systemd takes for a request to end: SIGRTMIN+3, as a number, since the C library counts them and Rust does not.
const HALT: &str = "37";
/// What BusyBox's init takes for it.
const USER_2: &str = "USR2";

/// A workload that was spawned.
pub(crate) struct Life<'a> {
    pub(crate) room: &'a Room,
    pub(crate) job: &'a Job,
    pub(crate) record: &'a mut Record,
    pub(crate) log: &'a Log,
    pub(crate) child: &'a mut Child,
    pub(crate) signals: &'a mut Signals,
    /// Whether it was killed: what a killed container's parent ends with differs.
    pub(crate) killed: bool,
}

impl Life<'_> {
    /// Waits for the end, and does what signals ask meanwhile. `beside` are those who watch a command beside an init.
    pub(crate) async fn watch(
        &mut self,
        connection: Option<&Connection>,
        beside: &mut Option<Option<[Watcher; 2]>>,
    ) -> Result<i32, DriverError> {
        // Out here: it stays until nothing is left to be guarded, whatever went wrong.
        let mut guard = None;
        let watched = self.watched(connection, beside, &mut guard).await;
        if watched.is_err() {
            self.kill();
            let _ = tokio::time::timeout(INIT_TIME, self.child.wait()).await;
        }
        watched
    }

    async fn watched(
        &mut self,
        connection: Option<&Connection>,
        beside: &mut Option<Option<[Watcher; 2]>>,
        guard: &mut Option<Guard>,
    ) -> Result<i32, DriverError> {
        let mut asked = false;
        loop {
            let starts = self.record.init.is_none();
            tokio::select! {
                status = self.child.wait() => {
                    let status = status.map_err(DriverError::process("wait for the workload"))?;
                    if starts && beside.is_some() && !asked {
                        let said = format!("its container ended with {status}, and the log has why");
                        return Err(DriverError::Inside { step: "start the init", said });
                    }
                    return Ok(self.code(status));
                }
                _ = self.signals.ask.recv() => asked = true,
                _ = self.signals.kill.recv() => self.kill(),
                () = tokio::time::sleep(INTERVAL), if starts || asked => {}
            }
            if starts && let Some(init) = self.started() {
                guard.replace(Guard::over(init).await?);
                self.begin(init, connection).await?;
                if let Some(watchers) = beside.take() {
                    return self.command_beside(init, watchers).await;
                }
            }
            // Asked once, and not before there is somebody to be asked.
            if asked && self.ask().await? {
                asked = false;
            }
        }
    }

    /// Number 1, once all that is made for the workload is there.
    fn started(&self) -> Option<u32> {
        let init = inside::init_of(self.child.id().unwrap_or_default())?;
        let is_ready = match self.job.body {
            Body::Container => inside::main_of(init).is_some(),
            Body::Booted { .. } => inside::is_booted(init),
            Body::Emulated { .. } => inside::launched_by(init).is_some(),
            Body::Machine(_) => false,
        };
        is_ready.then_some(init)
    }

    async fn begin(&mut self, init: u32, connection: Option<&Connection>) -> Result<(), DriverError> {
        if let Some(connection) = connection {
            if let Body::Emulated { .. } = self.job.body {
                connection.attach_process(init).await?;
            }
            connection.configure(init).await?;
        }
        self.record.init = Some(init);
        self.record.status = Status::Running;
        self.room.write_record(self.record)
    }

    /// Asks the workload to end; whether there was somebody to ask.
    async fn ask(&self) -> Result<bool, DriverError> {
        let Some(init) = self.record.init else { return Ok(false) };
        let asked = match self.job.body {
            Body::Booted { .. } => {
                self.halt(init).await?;
                return Ok(true);
            }
            Body::Emulated { .. } => inside::launched_by(init),
            _ => inside::main_of(init),
        };
        if let Some(process) = asked {
            inside::signal(process, Signal::TERM);
        }
        Ok(asked.is_some())
    }

    /// Tells an init to shut down, in its own language.
    async fn halt(&self, init: u32) -> Result<(), DriverError> {
        let link = fs::read_link(&self.room.directory().join("root/sbin/init")).unwrap_or_default();
        let signal = if link.file_name().is_some_and(|name| name == "busybox") { USER_2 } else { HALT };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "kill -\"$1\" \"$2\"", "port-halt", signal, &init.to_string()]);
        command.stdin(Stdio::null());
        // One that is gone needs no signal.
        command.status().await.map_err(|source| DriverError::Spawn { program: "/bin/sh".into(), source })?;
        Ok(())
    }

    /// Number 1 takes all others of its namespace along; its parent would leave them all.
    fn kill(&mut self) {
        self.killed = true;
        // Whose parent was waited for is gone, and its number may be somebody else's by now.
        let Some(parent) = self.child.id() else { return };
        let init = self.record.init.or_else(|| inside::init_of(parent));
        inside::signal(init.unwrap_or(parent), Signal::KILL);
    }

    /// What the workload ended with, by what its container's parent ended with.
    fn code(&self, status: ExitStatus) -> i32 {
        if self.killed { BY_SIGNAL + Signal::KILL.as_raw() } else { code(status) }
    }

    /// Runs the command that a booted root was started for; its end is the workload's.
    async fn command_beside(
        &mut self,
        init: u32,
        watchers: Option<[Watcher; 2]>,
    ) -> Result<i32, DriverError> {
        let Body::Booted { command: Some(words) } = &self.job.body else { return Ok(0) };
        let program = entering(self.job, init, words.clone());
        let mut command = Command::new("/bin/sh");
        command.args(joining(&self.record.groups, &program)).env_clear();
        command.envs(self.job.environment.iter().cloned()).kill_on_drop(true);
        command.stdin(if watchers.is_some() { Stdio::inherit() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.spawn();
        let mut inner = spawned.map_err(|source| DriverError::Spawn { program: "/bin/sh".into(), source })?;
        let pumps = pumps(self.log, &mut inner, watchers);
        let failed = DriverError::process("wait for the command beside the init");
        let ended = loop {
            tokio::select! {
                status = inner.wait() => break self.code(status.map_err(failed)?),
                // nspawn takes every process of the namespace along, this one too.
                status = self.child.wait() => {
                    let status = status.map_err(DriverError::process("wait for the workload"))?;
                    let _ = inner.wait().await;
                    finished(pumps).await?;
                    return Ok(if status.success() && !self.killed { BY_SIGNAL + Signal::TERM.as_raw() } else { self.code(status) });
                }
                _ = self.signals.ask.recv() => {
                    let Some(process) = inner.id() else { continue };
                    inside::signal(inside::entered_by(process).unwrap_or(process), Signal::TERM);
                }
                _ = self.signals.kill.recv() => self.kill(),
            }
        };
        finished(pumps).await?;
        self.halt(init).await?;
        if tokio::time::timeout(INIT_TIME, self.child.wait()).await.is_err() {
            self.kill();
            let _ = self.child.wait().await;
        }
        Ok(ended)
    }
}

/// As shells say it.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| BY_SIGNAL + status.signal().unwrap_or_default())
}

#[cfg(test)]
mod tests;
