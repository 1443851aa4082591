//! Why a workload cannot be prepared, started or reached.

use std::path::PathBuf;
use std::process::ExitStatus;

use port_content::FsError;
use port_document::DocumentError;

/// A workload that cannot be run or reached.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A value of the plan that no driver here can honour.
    #[error("cannot run `{name}`: `{key}` is `{found}`, expected {expected}")]
    Unsupported {
        /// The workload.
        name: String,
        /// The manifest's key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// Mounts, namespaces of containers and control groups are root's.
    #[error("cannot run `{name}`: workloads need root, found user {user}")]
    NotRoot {
        /// The workload.
        name: String,
        /// Who asked.
        user: u32,
    },
    /// A kernel without what a mode stands on.
    #[error("cannot run `{name}`: expected Linux {expected}, found {found}")]
    Kernel {
        /// The workload.
        name: String,
        /// The kernel's release.
        found: String,
        /// Which would do, and why.
        expected: String,
    },
    /// A program that is not on the search path.
    #[error("`{program}` is not there: expected it {place}")]
    Missing {
        /// The program.
        program: String,
        /// Where it was looked for, and what brings it.
        place: &'static str,
    },
    /// The host cannot keep what the plan promises.
    #[error("cannot keep what the manifest asks for: {}", reasons.join("; "))]
    Unkept {
        /// Each promise and what is in its way.
        reasons: Vec<String>,
    },
    /// A file with rules.
    #[error("the rules cannot be used")]
    Profile(#[from] DocumentError),
    /// A program that was started for a step failed.
    #[error("cannot {step}: `{program}` ended with {status}{}", said(message))]
    Step {
        /// What was done, as an infinitive.
        step: String,
        /// By which program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        message: String,
    },
    /// A program cannot be started at all.
    #[error("cannot start `{}`", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A started program cannot be waited for or read.
    #[error("cannot {operation}")]
    Process {
        /// What was tried, as an infinitive.
        operation: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A port of the host that somebody else has.
    #[error("cannot publish port {port} of the host")]
    Port {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// No address on the bridge.
    #[error("cannot connect the workload to the bridge: {address} is taken")]
    AddressTaken {
        /// Which one.
        address: String,
    },
    /// A name that runs already.
    #[error("`{name}` runs already")]
    Running {
        /// The workload.
        name: String,
    },
    /// A name that nobody ran.
    #[error("no workload `{name}` is known below `{}`", rooms.display())]
    Unknown {
        /// The workload.
        name: String,
        /// Where it was looked for.
        rooms: PathBuf,
    },
    /// A workload that does not run.
    #[error("`{name}` does not run: it is {state}")]
    NotRunning {
        /// The workload.
        name: String,
        /// What it is instead.
        state: String,
    },
    /// It ended before it ran.
    #[error("`{name}` did not start: {reason}")]
    NotStarted {
        /// The workload.
        name: String,
        /// What its supervisor said.
        reason: String,
    },
    /// A workload that stays whatever it is told.
    #[error("`{name}` still runs {waited_seconds} seconds after it was killed")]
    Unstoppable {
        /// The workload.
        name: String,
        /// How long was waited.
        waited_seconds: u64,
    },
    /// A file of a room that this Port did not write.
    #[error("`{}` is no state of a workload: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// A machine, or its agent.
    #[error(transparent)]
    Machine(Box<port_runtime::RuntimeError>),
    /// What makes a workload ready failed inside.
    #[error("cannot {step}: {said}")]
    Inside {
        /// What was done, as an infinitive.
        step: &'static str,
        /// What was said there.
        said: String,
    },
    /// A root with a link where a place of its own must be.
    #[error("`{}` of the root is a link: expected a directory, which leads nowhere else", place.display())]
    Linked {
        /// The place.
        place: PathBuf,
    },
    /// Files.
    #[error(transparent)]
    Files(#[from] FsError),
}

fn said(message: &str) -> String {
    match message.trim() {
        "" => String::new(),
        message => format!(": {message}"),
    }
}

impl From<port_runtime::RuntimeError> for DriverError {
    fn from(error: port_runtime::RuntimeError) -> Self {
        Self::Machine(Box::new(error))
    }
}

impl From<port_runtime::AgentError> for DriverError {
    fn from(error: port_runtime::AgentError) -> Self {
        Self::Machine(Box::new(error.into()))
    }
}

impl DriverError {
    /// For `map_err` of what a started program did.
    pub(crate) fn process(operation: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Process { operation, source }
    }

    /// The error and its causes in one line, for a record.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        text
    }
}
