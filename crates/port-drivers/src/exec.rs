//! One more command in a workload that runs: in its control groups and namespaces, through its gate.
//!
//! It has the workload's capabilities, Landlock rules and no new privileges. Not its seccomp filter: a filter is inherited,
//! and this command's parent is outside.

use std::path::Path;

use tokio::process::Command;

use crate::control_group::MEMBERS;
use crate::error::DriverError;
use crate::record::Status;
use crate::room::{Room, State};

/// Joins control groups, then becomes the rest. Bash and dash agree on all of it.
pub(crate) const JOIN: &str =
    r#"while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@""#;

/// The arguments of `/bin/sh` for a program in control groups.
pub(crate) fn joining(groups: &[std::path::PathBuf], program: &[String]) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = vec!["-c".into(), JOIN.into(), "port-join".into()];
    arguments.extend(groups.iter().map(|group| group.join(MEMBERS).into_os_string()));
    arguments.push("--".into());
    arguments.extend(program.iter().map(Into::into));
    arguments
}

/// The command that runs `command` in a workload; its standard streams are the caller's.
///
/// # Errors
/// The workload does not run, or runs without its launcher.
pub fn exec_command(room: &Room, command: &[String]) -> Result<Command, DriverError> {
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
    let init = init.to_string();
    let namespaces = ["-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"];
    let mut program: Vec<String> =
        ["nsenter", "-t", &init].into_iter().chain(namespaces).map(Into::into).collect();
    program.push("--".to_owned());
    program.extend(job.gate.iter().chain(command).cloned());
    let mut started = Command::new(Path::new("/bin/sh"));
    started.args(joining(&record.groups, &program)).env_clear().envs(job.environment);
    Ok(started)
}
