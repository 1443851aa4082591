//! One more command in a workload that runs: in its control groups and namespaces or its machine, through its gate.
//!
//! It has the workload's capabilities, Landlock rules and no new privileges. Not its seccomp filter: a filter is inherited,
//! and this command's parent is outside.

use std::path::Path;
use std::time::Duration;

use port_runtime::agent::OnOutput;
use port_runtime::{AgentDoor, AgentError, GuestCommand};
use tokio::io::AsyncRead;
use tokio::process::Command;

use crate::control_group::MEMBERS;
use crate::error::DriverError;
use crate::job::{Body, Job};
use crate::machine;
use crate::record::Status;
use crate::room::{Room, State};

/// Joins control groups, then becomes the rest. Bash and dash agree on all of it.
pub(crate) const JOIN: &str =
    r#"while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@""#;
/// How long a free way to a machine's agent is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The arguments of `/bin/sh` for a program in control groups.
pub(crate) fn joining(groups: &[std::path::PathBuf], program: &[String]) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = vec!["-c".into(), JOIN.into(), "port-join".into()];
    arguments.extend(groups.iter().map(|group| group.join(MEMBERS).into_os_string()));
    arguments.push("--".into());
    arguments.extend(program.iter().map(Into::into));
    arguments
}

/// How a command gets into a workload.
#[derive(Debug)]
pub enum Entry {
    /// As a process of the host, whose standard streams are the caller's.
    Process(Command),
    /// Through a machine's agent.
    Visitor(Box<Visitor>),
}

/// A command for a machine.
#[derive(Debug)]
pub struct Visitor {
    door: AgentDoor,
    command: GuestCommand,
}

impl Visitor {
    /// Runs it; the number is its exit status.
    ///
    /// # Errors
    /// The machine ended, or cannot be asked.
    pub async fn run(
        self,
        stdin: &mut (dyn AsyncRead + Send + Unpin),
        on_output: OnOutput<'_>,
    ) -> Result<i32, DriverError> {
        let visit = self.door.open(PATIENCE).await?;
        match visit.agent.exec_streaming(self.command, stdin, on_output).await {
            Err(AgentError::Failed { exit_code: Some(code), message, .. }) => {
                // Nobody is left to be told that nobody listens.
                let _ = on_output(port_runtime::agent::Channel::Stderr, format!("{message}\n").as_bytes());
                Ok(code)
            }
            ended => Ok(ended?),
        }
    }
}

/// How `command` gets into a workload.
///
/// # Errors
/// The workload does not run, or runs without its launcher.
pub fn enter(room: &Room, command: &[String]) -> Result<Entry, DriverError> {
    let not_running = |state: String| DriverError::NotRunning { name: room.name().to_owned(), state };
    let record = match room.state()? {
        State::Alive(record) => record,
        State::Ended(record) => return Err(not_running(record.status.to_string())),
    };
    let (Status::Running, Some(init)) = (&record.status, record.init) else {
        return Err(not_running(record.status.to_string()));
    };
    let job = room.job()?;
    if job.gate.is_empty() {
        let place = "beside `port` when the workload was started: without it a command would be unconfined";
        return Err(DriverError::Missing { program: "port-launcher".to_owned(), place });
    }
    let words = [&job.gate[..], command].concat();
    if let Body::Machine(machine) = &job.body {
        let door = record.agent.ok_or_else(|| not_running("starting".to_owned()))?;
        let command = machine::another(words, machine.pids, &job.environment);
        return Ok(Entry::Visitor(Box::new(Visitor { door, command })));
    }
    let mut started = Command::new(Path::new("/bin/sh"));
    started.args(joining(&record.groups, &entering(&job, init, words)));
    started.env_clear().envs(job.environment);
    Ok(Entry::Process(started))
}

/// The words that enter the namespaces of a workload's number 1.
pub(crate) fn entering(job: &Job, init: u32, words: Vec<String>) -> Vec<String> {
    let init = init.to_string();
    let mut program: Vec<String> = ["nsenter", "-t", &init].map(Into::into).into();
    if let Body::Emulated { .. } = job.body {
        // Its user may not choose groups, so nobody tries.
        program.extend(["-U", "--preserve-credentials"].map(Into::into));
    }
    program.extend(["-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"].map(Into::into));
    program.extend(words);
    program
}
