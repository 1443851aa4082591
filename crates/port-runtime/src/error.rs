//! What can go wrong between a spec and a machine that has ended, each with what was seen of the guest.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use port_content::FsError;
use port_model::Architecture;

use crate::agent::AgentError;
use crate::machine_spec::{ChannelKind, SpecError};
use crate::refusal::WhyNot;

/// The last lines of a console or of a program's messages, shown indented under an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// Of what, as "console" or "messages of qemu-system-x86_64".
    pub of: String,
    /// The lines, oldest first.
    pub lines: Vec<String>,
}

/// Lines of a tail that are shown: enough for a panic with its call trace.
const SHOWN_LINES: usize = 24;

impl Tail {
    /// The last lines of `text`, without control characters.
    pub fn new(of: impl Into<String>, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let clean = |line: &str| line.chars().filter(|c| !c.is_control() || *c == '\t').collect::<String>();
        let all: Vec<String> = text
            .lines()
            .map(clean)
            .map(|line| line.trim_end().to_owned())
            .filter(|l| !l.is_empty())
            .collect();
        let lines = all.get(all.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default().to_vec();
        Self { of: of.into(), lines }
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines.is_empty() {
            return write!(f, "\n  (nothing in the {})", self.of);
        }
        write!(f, "\n  the end of the {}:", self.of)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// A machine that could not be booted, used or ended.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The spec itself.
    #[error("the machine cannot be booted as described")]
    Spec(#[from] SpecError),
    /// This host cannot run it.
    #[error(transparent)]
    Refused(#[from] WhyNot),
    /// A file operation.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// No QEMU for the architecture.
    #[error("`{program}` was not found: it runs {architecture} guests (Debian package `{package}`)")]
    QemuMissing {
        /// The program's name.
        program: &'static str,
        /// The guest's architecture.
        architecture: Architecture,
        /// What to install.
        package: &'static str,
    },
    /// No program of this name.
    #[error("`{program}` was not found: it boots {purpose}")]
    VmmMissing {
        /// The program.
        program: &'static str,
        /// What for.
        purpose: &'static str,
    },
    /// A driver cannot do what the spec asks for.
    #[error("`{driver}` cannot boot this machine: {reason}")]
    Unsupported {
        /// The driver.
        driver: &'static str,
        /// What was expected and found.
        reason: String,
    },
    /// A file of the machine.
    #[error("the machine's {role} cannot be used")]
    Component {
        /// "kernel", "initrd" or "disk `root`".
        role: String,
        /// Why.
        #[source]
        source: FsError,
    },
    /// Kernel and initrd leave nothing.
    #[error("{memory_mib} MiB of memory are too little: this kernel and initrd alone need {needed_mib} MiB")]
    MemoryTooSmall {
        /// As given.
        memory_mib: u32,
        /// At the least.
        needed_mib: u64,
    },
    /// The guard that cleans up runs elsewhere.
    #[error("the directory for running machines, `{}`, is relative: expected an absolute path", path.display())]
    RelativeRunRoot {
        /// As given.
        path: PathBuf,
    },
    /// Unix socket names are short.
    #[error("the socket path `{}` is too long: a Unix socket's path has at most {most} bytes", path.display())]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// What fits.
        most: usize,
    },
    /// A program did not start.
    #[error("cannot start `{}`", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A program does not work as it must.
    #[error("`{}` does not work: {problem}{messages}", program.display())]
    Unusable {
        /// The program.
        program: PathBuf,
        /// What was expected and found.
        problem: String,
        /// What it said.
        messages: Tail,
    },
    /// The VMM ended before the guest was up.
    #[error("`{}` ended with {status} before the guest was up{messages}{console}", program.display())]
    EarlyExit {
        /// The VMM.
        program: PathBuf,
        /// Its exit status.
        status: ExitStatus,
        /// What it said.
        messages: Tail,
        /// What the guest said.
        console: Tail,
    },
    /// The guest's kernel gave up.
    #[error("the guest's kernel panicked: {line}{console}")]
    KernelPanic {
        /// The panic's line.
        line: String,
        /// What the guest said.
        console: Tail,
    },
    /// No answer in time.
    #[error("the guest's agent did not answer within {} s over {channel}{console}", waited.as_secs())]
    AgentSilent {
        /// How long it was waited for.
        waited: Duration,
        /// Over which channel.
        channel: ChannelKind,
        /// What the guest said.
        console: Tail,
    },
    /// What answers on the agent's channel does not speak its protocol.
    #[error(
        "something else than an agent answers over {channel}: expected the answer to a ping within {} s, found \
         `{excerpt}`{console}", waited.as_secs()
    )]
    NotAnAgent {
        /// How long it was waited for.
        waited: Duration,
        /// Over which channel.
        channel: ChannelKind,
        /// The first of what it said.
        excerpt: String,
        /// What the guest said.
        console: Tail,
    },
    /// The agent fell silent in the middle of an operation.
    #[error("the guest's agent stopped answering while {during}: expected a sign of life within {} s, found none{console}", waited.as_secs())]
    AgentStopped {
        /// What was going on.
        during: String,
        /// How long it was silent.
        waited: Duration,
        /// What the guest said.
        console: Tail,
    },
    /// Another agent answers than the one that was asked.
    #[error(
        "the guest's agent ended while {during}; the guest started it anew, and what ran is lost{console}"
    )]
    AgentRestarted {
        /// What was going on.
        during: String,
        /// What the guest said.
        console: Tail,
    },
    /// The guest ended while something was asked of it.
    #[error("the guest ended while {during} (the VMM ended with {status}){console}")]
    GuestEnded {
        /// What was going on.
        during: String,
        /// The VMM's end.
        status: ExitStatus,
        /// What the guest said.
        console: Tail,
    },
    /// The machine was made without an agent.
    #[error("the machine has no agent to ask: its spec names no agent channel")]
    NoAgent,
    /// The channel that was insisted on is not there.
    #[error("the agent cannot be reached over {channel}: {reason}")]
    ChannelUnavailable {
        /// The channel.
        channel: ChannelKind,
        /// Why, in words.
        reason: String,
    },
    /// A socket or pipe between Port and the VMM.
    #[error("cannot {operation}")]
    Channel {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A step took too long.
    #[error("{step} took more than {} ms", allowed.as_millis())]
    TooSlow {
        /// Which step.
        step: &'static str,
        /// The time it has.
        allowed: Duration,
    },
    /// A request to the agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// Names the operation of an I/O error on a channel.
pub(crate) fn channel_error(operation: &'static str) -> impl FnOnce(std::io::Error) -> RuntimeError {
    move |source| RuntimeError::Channel { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_short_and_free_of_control_characters() {
        let text: String = (0..100).map(|n| format!("line {n}\x1b[0m\r\n")).collect();
        let tail = Tail::new("console", text.as_bytes());
        assert_eq!(tail.lines.len(), SHOWN_LINES);
        assert_eq!(tail.lines.last().map(String::as_str), Some("line 99[0m"));
        assert_eq!(Tail::new("console", b"").to_string(), "\n  (nothing in the console)");
        assert_eq!(Tail::new("console", b"a\n\nb").to_string(), "\n  the end of the console:\n    a\n    b");
    }
}
