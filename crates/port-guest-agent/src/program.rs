//! Starting a command, and making sure that it ends.
//!
//! A command leads a process group of its own, so it goes with everything it started when the connection dies.
//! CRASH: if the agent itself is killed, the kernel kills the command (`PR_SET_PDEATHSIG`); what the command had
//! started in the background then lives on, unless it had a terminal, whose end hangs it up.
#![expect(
    unsafe_code,
    reason = "the steps between fork and exec have no safe interface; see `between_fork_and_exec`"
)]

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use port_guest_protocol::GuestPath;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::dispatch::Agent;
use crate::error::OperationError;
use crate::signals;

/// Where commands are looked for when neither the agent's nor the request's environment says.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a request says about a command.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) command: &'a [String],
    pub(crate) cwd: Option<&'a str>,
    pub(crate) env: &'a BTreeMap<String, String>,
}

/// What a command's three streams are.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Nothing to read, two pipes to write to.
    Outputs,
    /// Three pipes.
    Pipes,
    /// A terminal, which becomes its controlling one.
    Terminal(OwnedFd),
}

/// A command that was started. Dropped before its end, it is killed with its process group.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    group: Pid,
    watch: Option<OwnedFd>,
    ended: bool,
}

impl Program<'_> {
    pub(crate) fn start(&self, agent: &Agent, streams: Streams) -> Result<Running, OperationError> {
        let (name, arguments) = self.command.split_first().ok_or_else(|| OperationError::Unexpected {
            subject: "command".to_owned(),
            expected: "at least one word",
            found: "none".to_owned(),
        })?;
        let mut command = Command::new(name);
        command.args(arguments);
        let searched = self.set_environment(&mut command)?;
        let directory: GuestPath = self.cwd.unwrap_or("/").parse()?;
        let directory = agent.root.open_directory(&directory)?;
        let terminal = matches!(streams, Streams::Terminal(_));
        streams.attach(&mut command, name)?;
        between_fork_and_exec(&mut command, directory, terminal);
        let child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OperationError::CommandNotFound { command: name.clone(), searched },
            _ => OperationError::CommandCannotRun { command: name.clone(), source },
        })?;
        Running::new(child).map_err(OperationError::system("watch the command", name))
    }

    /// Adds the request's variables and a `PATH`; gives back the `PATH` in force.
    fn set_environment(&self, command: &mut Command) -> Result<String, OperationError> {
        for (key, value) in self.env {
            if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
                return Err(OperationError::Unexpected {
                    subject: "env".to_owned(),
                    expected: "names without `=` and NUL, values without NUL",
                    found: format!("{key:?}"),
                });
            }
            command.env(key, value);
        }
        if let Some(path) = self.env.get("PATH") {
            return Ok(path.clone());
        }
        let path = std::env::var("PATH")
            .ok()
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| DEFAULT_PATH.to_owned());
        command.env("PATH", &path);
        Ok(path)
    }
}

impl Streams {
    fn attach(self, command: &mut Command, name: &str) -> Result<(), OperationError> {
        match self {
            Self::Outputs => {
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
            }
            Self::Pipes => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
            }
            // The process group comes with the session.
            Self::Terminal(fd) => {
                let again = || fd.try_clone().map_err(OperationError::system("attach a terminal to", name));
                command.stdin(again()?).stdout(again()?).stderr(again()?);
            }
        }
        Ok(())
    }
}

/// Sets what only the new process can set for itself.
fn between_fork_and_exec(command: &mut Command, directory: OwnedFd, terminal: bool) {
    let agent = rustix::process::getpid();
    let prepare = move || {
        signals::reset_all();
        if terminal {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The agent may have died before the line above, and nobody would send the signal.
        if rustix::process::getppid() != Some(agent) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(rustix::process::fchdir(&directory)?)
    };
    // SAFETY: the closure only makes system calls: it takes no lock, allocates nothing and touches no memory that
    // another thread of the agent could have been changing at the time of the fork.
    unsafe {
        command.pre_exec(prepare);
    }
}

impl Running {
    fn new(mut child: Child) -> io::Result<Self> {
        let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
            child.kill()?;
            return Err(io::ErrorKind::InvalidData.into());
        };
        // Kernels before 5.3 have none; the pump then looks again and again.
        let watch = rustix::process::pidfd_open(group, PidfdFlags::empty()).ok();
        Ok(Self { child, group, watch, ended: false })
    }

    /// Becomes readable when the command ends, where the kernel can tell.
    pub(crate) fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// The command's ends of its pipes: input, output, errors.
    pub(crate) fn take_pipes(&mut self) -> (Option<OwnedFd>, Option<OwnedFd>, Option<OwnedFd>) {
        let child = &mut self.child;
        (
            child.stdin.take().map(OwnedFd::from),
            child.stdout.take().map(OwnedFd::from),
            child.stderr.take().map(OwnedFd::from),
        )
    }

    /// The exit code, once the command ended. What it left in the background stays.
    pub(crate) fn exit_code(&mut self) -> io::Result<Option<i32>> {
        let status = self.child.try_wait()?;
        self.ended |= status.is_some();
        Ok(status.map(exit_code))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Errors mean that it is gone already. The leader is not reaped yet, so its number is still its own.
        let _ = rustix::process::kill_process_group(self.group, Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As a shell reports it.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
