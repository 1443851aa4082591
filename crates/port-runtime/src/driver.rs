//! What boots machines, and a machine that runs.
//!
//! ```text
//!            boot()                agent answers              shut_down()
//!   (spec) ─────────► Starting ──────────────────► Ready ───────────────────► Ended
//!                        │                            │                          ▲
//!                        ├─ VMM ends, kernel panics,  ├─ guest or VMM ends ──────┤
//!                        │  nobody answers in time    │                          │
//!                        └────────────────────────────┴─ dropped: killed ────────┘
//! ```
//!
//! - Starting → Ready: [`Machine::wait_for_agent`] got an answer. A machine without an agent stays in Starting.
//! - Starting → Ended: [`Machine::wait_for_agent`] returns why, with the end of the console.
//! - Ready → Ended: by [`Machine::shut_down`] (agent, then the VMM's own control channel, then SIGKILL), or by
//!   itself, which [`Machine::wait`] returns.
//! - any → Ended: dropping the machine, at any await, kills the VMM and its helpers and removes the run directory;
//!   a killed Port does the same through the guard of `process_group`.
//!
//! Signals are the caller's: it races its own future against a cancellation and drops the machine.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use port_guest_protocol::{PingResult, ShutdownMode};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

use crate::agent::{AgentClient, AgentError, GuestCommand, HostFrame, OnOutput};
use crate::console::{ConsolePump, ConsoleStream};
use crate::error::{RuntimeError, Tail};
use crate::machine_spec::{ChannelKind, MachineSpec};
use crate::process_group::ProcessGroup;
use crate::qemu::QmpClient;
use crate::run_directory::RunDirectory;
use crate::timings::Timings;
use crate::vmm_process::VmmProcess;

/// How long a guest has to end after its agent agreed.
const GUEST_SHUTDOWN_TIME: Duration = Duration::from_secs(5);
/// How long a VMM has to end after it was told to.
const VMM_QUIT_TIME: Duration = Duration::from_secs(2);
/// After a panic the kernel still prints where it was; then the error is made.
const PANIC_TRACE_TIME: Duration = Duration::from_millis(100);

/// Boots machines.
///
/// Contract: `boot` refuses a spec that it cannot honour in full, before it starts anything. When it returns, the
/// VMM runs and nothing is known of the guest. Nothing that a driver starts or makes outlives the [`Machine`].
#[async_trait]
pub trait Driver: Send + Sync {
    /// The driver's word, as in configuration.
    fn name(&self) -> &'static str;

    /// Starts a machine.
    async fn boot(&self, spec: &MachineSpec) -> Result<Machine, RuntimeError>;
}

/// A machine that runs, or has ended. Dropping it kills what still runs.
#[derive(Debug)]
pub struct Machine {
    // Fields drop in this order: first the processes, then the directory they use.
    pub(crate) vmm: VmmProcess,
    pub(crate) _group: ProcessGroup,
    pub(crate) control: Option<QmpClient>,
    pub(crate) console: ConsolePump,
    pub(crate) agent: Option<(AgentClient, ChannelKind)>,
    pub(crate) timings: Timings,
    pub(crate) _directory: RunDirectory,
}

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The guest powered off.
    Guest,
    /// The guest did not, and the VMM quit when told to.
    Quit,
    /// The VMM had to be killed.
    Killed,
}

impl Machine {
    /// The agent's client.
    ///
    /// # Errors
    /// [`RuntimeError::NoAgent`] where the spec names none.
    pub fn agent(&self) -> Result<&AgentClient, RuntimeError> {
        self.agent.as_ref().map(|(client, _)| client).ok_or(RuntimeError::NoAgent)
    }

    /// Which way leads to the agent.
    pub fn channel(&self) -> Option<ChannelKind> {
        self.agent.as_ref().map(|(_, kind)| *kind)
    }

    /// The console, once, where the spec asked for a stream.
    pub fn take_console(&mut self) -> Option<ConsoleStream> {
        self.console.stream.take()
    }

    /// The end of what the guest's console showed so far.
    pub fn console_tail(&self) -> Tail {
        self.console.record.tail()
    }

    /// When what happened.
    pub fn timings(&self) -> Timings {
        Timings { first_console_byte: self.console.record.first_byte(), ..self.timings }
    }

    /// The VMM's process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.vmm.id()
    }

    /// Waits until the agent answers, for at most `patience`.
    ///
    /// # Errors
    /// The VMM ended, the kernel panicked, or nobody answered: each with the end of the console.
    pub async fn wait_for_agent(&mut self, patience: Duration) -> Result<PingResult, RuntimeError> {
        let (client, channel) = self.agent.clone().ok_or(RuntimeError::NoAgent)?;
        let record = self.console.record.clone();
        let end = tokio::select! {
            // An answer decides, even if the VMM ended in the same moment.
            biased;
            pong = client.ready() => StartEnd::Answer(pong),
            ended = self.vmm.wait() => StartEnd::Exit(ended?),
            reason = record.panicked() => StartEnd::Panic(reason),
            () = tokio::time::sleep(patience) => StartEnd::Silence,
        };
        match end {
            StartEnd::Answer(Ok(pong)) => {
                self.timings.agent_ready = Some(Instant::now());
                Ok(pong)
            }
            StartEnd::Answer(Err(error)) => Err(self.explain(error, "its agent was waited for").await),
            StartEnd::Exit(status) => Err(self.early_exit(status).await),
            StartEnd::Panic(reason) => Err(self.panicked(reason).await),
            StartEnd::Silence => {
                let (waited, console) = (patience, self.console_tail());
                Err(match client.heard() {
                    Some(excerpt) => RuntimeError::NotAnAgent { waited, channel, excerpt, console },
                    None => RuntimeError::AgentSilent { waited, channel, console },
                })
            }
        }
    }

    /// Runs a command in the guest, passing `stdin` in and its outputs to `on_output`; returns its exit code.
    ///
    /// # Errors
    /// The agent's, or what became of the guest while the command ran.
    pub async fn run_command(
        &mut self,
        command: GuestCommand,
        stdin: &mut (dyn AsyncRead + Send + Unpin),
        on_output: OnOutput<'_>,
    ) -> Result<i32, RuntimeError> {
        let (client, during) = (self.agent()?.clone(), during(&command));
        self.watch_command(&during, client.exec_streaming(command, stdin, on_output)).await
    }

    /// Runs a command in the guest on a terminal of `size` (columns, lines); `frames` carries what is typed and new
    /// sizes. Returns its exit code.
    ///
    /// # Errors
    /// The agent's, or what became of the guest while the command ran.
    pub async fn run_on_terminal(
        &mut self,
        command: GuestCommand,
        size: (u16, u16),
        frames: &mut mpsc::Receiver<HostFrame>,
        on_output: OnOutput<'_>,
    ) -> Result<i32, RuntimeError> {
        let (client, during) = (self.agent()?.clone(), during(&command));
        self.watch_command(&during, client.pty(command, size, frames, on_output)).await
    }

    async fn watch_command(
        &mut self,
        during: &str,
        running: impl Future<Output = Result<i32, AgentError>>,
    ) -> Result<i32, RuntimeError> {
        let record = self.console.record.clone();
        (self.timings.command_started, self.timings.command_ended) = (Some(Instant::now()), None);
        let end = tokio::select! {
            biased;
            code = running => CommandEnd::Answer(code),
            // A kernel that panics and stops breaks no stream.
            reason = record.panicked() => CommandEnd::Panic(reason),
        };
        self.timings.command_ended = Some(Instant::now());
        match end {
            CommandEnd::Answer(Ok(code)) => Ok(code),
            CommandEnd::Answer(Err(error)) => Err(self.explain(error, during).await),
            CommandEnd::Panic(reason) => Err(self.panicked(reason).await),
        }
    }

    /// The error of a request, or, where the agent or the guest went away under it, what became of them.
    pub async fn explain(&mut self, error: AgentError, during: &str) -> RuntimeError {
        let during = during.to_owned();
        match error {
            AgentError::Silent { waited, .. } => {
                return RuntimeError::AgentStopped { during, waited, console: self.console_tail() };
            }
            AgentError::Restarted { .. } => {
                return RuntimeError::AgentRestarted { during, console: self.console_tail() };
            }
            ref other if !other.is_broken_off() => return error.into(),
            _ => {}
        }
        // The stream breaks an instant before the VMM is gone.
        match tokio::time::timeout(VMM_QUIT_TIME, self.vmm.wait()).await {
            Ok(Ok(status)) if self.timings.agent_ready.is_none() => self.early_exit(status).await,
            Ok(Ok(status)) => {
                self.console.finish().await;
                let console = self.console_tail();
                match self.console.record.panic_reason() {
                    Some(line) => RuntimeError::KernelPanic { line, console },
                    None => RuntimeError::GuestEnded { during, status, console },
                }
            }
            Ok(Err(_)) | Err(_) => error.into(),
        }
    }

    async fn panicked(&mut self, line: String) -> RuntimeError {
        // With panic=-1 the VMM ends right after the trace.
        if tokio::time::timeout(PANIC_TRACE_TIME, self.vmm.wait()).await.is_ok() {
            self.console.finish().await;
        }
        RuntimeError::KernelPanic { line, console: self.console_tail() }
    }

    async fn early_exit(&mut self, status: ExitStatus) -> RuntimeError {
        self.timings.ended.get_or_insert_with(Instant::now);
        self.console.finish().await;
        let console = self.console_tail();
        if let Some(line) = self.console.record.panic_reason() {
            return RuntimeError::KernelPanic { line, console };
        }
        let messages = self.vmm.messages().await;
        RuntimeError::EarlyExit { program: self.vmm.program().to_owned(), status, messages, console }
    }

    /// Waits until the machine ends by itself.
    ///
    /// # Errors
    /// The VMM could not be waited for.
    pub async fn wait(&mut self) -> Result<ExitStatus, RuntimeError> {
        let status = self.vmm.wait().await?;
        self.timings.ended.get_or_insert_with(Instant::now);
        self.console.finish().await;
        Ok(status)
    }

    /// Ends the machine: asks the agent and waits up to 5 s, tells the VMM to quit, kills it.
    ///
    /// # Errors
    /// The VMM could not be waited for. That the guest had to be forced is told by [`Ending`], not an error.
    pub async fn shut_down(&mut self) -> Result<Ending, RuntimeError> {
        self.timings.shutdown_requested.get_or_insert_with(Instant::now);
        if self.timings.agent_ready.is_some() && self.ends_by_agent().await {
            self.wait().await?;
            return Ok(Ending::Guest);
        }
        self.force().await
    }

    async fn ends_by_agent(&mut self) -> bool {
        let Some((client, _)) = self.agent.clone() else { return false };
        let ended = async {
            // An agent that is gone cannot agree; the VMM may be ending already.
            let _ = client.shutdown(ShutdownMode::PowerOff).await;
            self.vmm.wait().await
        };
        tokio::time::timeout(GUEST_SHUTDOWN_TIME, ended).await.is_ok_and(|status| status.is_ok())
    }

    /// Ends the machine without asking the guest.
    ///
    /// # Errors
    /// The VMM could not be waited for.
    pub async fn force(&mut self) -> Result<Ending, RuntimeError> {
        self.timings.shutdown_requested.get_or_insert_with(Instant::now);
        if self.vmm.has_ended()? {
            self.wait().await?;
            return Ok(Ending::Guest);
        }
        let quit = async {
            if let Some(control) = &mut self.control {
                control.quit().await?;
            }
            self.vmm.wait().await
        };
        if matches!(tokio::time::timeout(VMM_QUIT_TIME, quit).await, Ok(Ok(_))) {
            self.wait().await?;
            return Ok(Ending::Quit);
        }
        self.vmm.kill().await?;
        self.wait().await?;
        Ok(Ending::Killed)
    }

    /// What the VMM said last, for a machine that ended otherwise than hoped for. Call it after the end.
    pub async fn vmm_messages(&mut self) -> Tail {
        self.vmm.messages().await
    }

    /// The directory of the machine's sockets, for a caller that has more to put there.
    pub fn run_directory(&self) -> PathBuf {
        self._directory.path().to_owned()
    }
}

/// What goes on, for an error: a command may be a whole script.
fn during(command: &GuestCommand) -> String {
    const SHOWN: usize = 60;
    let words = command.command.join(" ");
    let mut shown: String = words.chars().take(SHOWN).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    format!("`{shown}` ran")
}

/// What ended the wait for the agent.
enum StartEnd {
    Answer(Result<PingResult, AgentError>),
    Exit(ExitStatus),
    Panic(String),
    Silence,
}

/// What ended a command.
enum CommandEnd {
    Answer(Result<i32, AgentError>),
    Panic(String),
}

#[cfg(test)]
mod tests;
