//! What ends a workload whose supervisor is killed: nspawn dies with its supervisor by the kernel's hand, but what is in its container
//! does not.
//!
//! ```text
//! supervisor ══ pipe ══► guard: reads until the supervisor is gone ─► kills number 1, which takes all others along
//! ```
//!
//! Invariant: the guard acts only where nobody told it to leave, so that the process id is still the workload's.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};

use crate::error::DriverError;

/// Nothing but the shell itself: no program that could be missing, or be a process of its own that stays.
const WATCH: &str = r#"read -r init || exit 0; while read -r _; do :; done; kill -KILL "$init""#;

/// Watches over the supervisor that has it. Dropped, it leaves.
#[derive(Debug)]
pub(crate) struct Guard {
    // First: it is gone before its pipe says that the supervisor is.
    _shell: Child,
    _pipe: Option<ChildStdin>,
}

impl Guard {
    /// Over the workload whose number 1 is this process of the host.
    pub(crate) async fn over(init: u32) -> Result<Self, DriverError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCH, "port-guard"]).env_clear().current_dir("/").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let spawned = command.spawn();
        let mut shell = spawned.map_err(|source| DriverError::Spawn { program: "/bin/sh".into(), source })?;
        let mut pipe = shell.stdin.take();
        if let Some(pipe) = &mut pipe {
            let told = pipe.write_all(format!("{init}\n").as_bytes()).await;
            told.map_err(DriverError::process("tell the guard whom it watches"))?;
        }
        Ok(Self { _shell: shell, _pipe: pipe })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap()
    }

    #[tokio::test]
    async fn who_loses_its_supervisor_is_killed_and_who_keeps_it_is_not() {
        let (mut lost, mut kept) = (sleeper(), sleeper());
        let mut guard = Guard::over(lost.id().unwrap()).await.unwrap();
        // As when the supervisor dies: its end of the pipe is closed by the kernel.
        guard._pipe = None;
        assert!(!lost.wait().await.unwrap().success());
        guard._shell.wait().await.unwrap();

        drop(Guard::over(kept.id().unwrap()).await.unwrap());
        // Its shell is gone before its pipe is: there is nobody left who could kill.
        assert!(kept.try_wait().unwrap().is_none());
    }
}
