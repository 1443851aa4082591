//! `shutdown`: flushes the disks and ends the machine.
//!
//! Refused where the agent's root is not `/`: it then serves a directory of a machine that is not its own.

use std::time::Duration;

use port_guest_protocol::ShutdownMode;
use rustix::system::RebootCommand;

use crate::connection::Connection;
use crate::dispatch::{Agent, Finish};
use crate::error::{Lost, OperationError};
use crate::log;

/// How long the host may take to hear that it was done.
const PATIENCE: Duration = Duration::from_secs(2);

/// Refuses before anything is promised.
pub(crate) fn check(agent: &Agent) -> Result<Finish, OperationError> {
    let refuse = |found: &str| {
        Err(OperationError::Unexpected {
            subject: "shutdown".to_owned(),
            expected: "an agent that serves / as the superuser",
            found: found.to_owned(),
        })
    };
    if !agent.owns_machine {
        return refuse("one with another root");
    }
    if !rustix::process::geteuid().is_root() {
        return refuse("one that is not the superuser");
    }
    Ok(Finish::Completed { exit_code: 0, result: serde_json::json!({}) })
}

/// Ends the machine after the answer went out. A kernel that refuses is told to the log: the host already has
/// its answer and will see that the machine goes on.
pub(crate) fn end_machine(connection: &mut Connection, mode: ShutdownMode) -> Result<(), Lost> {
    // A host that is gone has asked all the same.
    let flushed = connection.flush(PATIENCE);
    log::line(format_args!("ending the machine: {mode:?}"));
    end_with(mode, rustix::fs::sync, rustix::system::reboot);
    flushed
}

fn end_with(
    mode: ShutdownMode,
    sync: impl FnOnce(),
    reboot: impl FnOnce(RebootCommand) -> rustix::io::Result<()>,
) {
    // NOTE: the kernel does not flush on its own; without this the last writes are lost.
    sync();
    if let Err(error) = reboot(command(mode)) {
        log::line(format_args!("cannot end the machine: {error}"));
    }
}

fn command(mode: ShutdownMode) -> RebootCommand {
    match mode {
        ShutdownMode::PowerOff => RebootCommand::PowerOff,
        ShutdownMode::Reboot => RebootCommand::Restart,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_disks_are_flushed_before_the_machine_ends() {
        for (mode, expected) in [
            (ShutdownMode::PowerOff, RebootCommand::PowerOff),
            (ShutdownMode::Reboot, RebootCommand::Restart),
        ] {
            let steps = RefCell::new(Vec::new());
            let reboot = |command: RebootCommand| {
                steps.borrow_mut().push(format!("{command:?}"));
                Err(rustix::io::Errno::PERM)
            };
            end_with(mode, || steps.borrow_mut().push("sync".to_owned()), reboot);
            assert_eq!(steps.into_inner(), ["sync".to_owned(), format!("{expected:?}")]);
        }
    }
}
