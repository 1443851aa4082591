//! The processes of one machine, in a group of their own that cannot outlive Port.
//!
//! ```text
//! port ──pipe──► guard (/bin/sh, leads the group) ─ reads until the pipe ends
//!   └─────────►  VMM, helper (in the guard's group)
//! ```
//!
//! If Port ends in any way, SIGKILL included, the kernel closes the pipe, and the guard ends its whole group and
//! removes the run directory. The group's id cannot be reused while the guard is in it, so the guard never
//! signals a stranger. Being in another group than Port also keeps the terminal's Ctrl-C from the VMM.
//!
//! Why not `PR_SET_PDEATHSIG`: it fires when the *thread* that started the VMM ends, and setting it takes unsafe
//! code or one more program. Limit: whoever kills the guard by hand disables it until the machine ends.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::error::RuntimeError;

const SHELL: &str = "/bin/sh";

/// Ignores the signals of terminals. After the pipe's end: asks the group to end, cleans up, then insists. A VMM
/// that was just starting may have made a socket meanwhile, hence the second removal.
const GUARD: &str = r#"
trap '' HUP INT TERM
read -r line && exit 0
kill -TERM 0
rm -rf -- "$1"
sleep 0.2 || sleep 1
rm -rf -- "$1"
kill -KILL 0
"#;

/// A machine's processes. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    helpers: Vec<Child>,
    // Held unreaped until the group was killed: as long as it exists, the group's id is nobody else's.
    _guard: Child,
    id: Pid,
    path: OsString,
}

impl ProcessGroup {
    /// Starts the guard over `directory`. `path` is what members get as `PATH`.
    pub(crate) fn start(directory: &Path, path: OsString) -> Result<Self, RuntimeError> {
        let mut command = Command::new(SHELL);
        command.args(["-c", GUARD, "port-guard"]).arg(directory);
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard =
            command.process_group(0).kill_on_drop(true).spawn().map_err(spawn_error(Path::new(SHELL)))?;
        let id = guard.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let id = id.ok_or_else(|| spawn_error(Path::new(SHELL))(std::io::ErrorKind::NotFound.into()))?;
        Ok(Self { helpers: Vec::new(), _guard: guard, id, path })
    }

    /// Starts a program in the group, without Port's environment: no credential reaches a VMM.
    pub(crate) fn spawn(&self, program: &Path, arguments: &[OsString]) -> Result<Child, RuntimeError> {
        self.spawn_with(program, arguments, Stdio::null, Stdio::null)
    }

    /// The same for a VMM whose standard input and output are the guest's console.
    pub(crate) fn spawn_on_pipes(
        &self,
        program: &Path,
        arguments: &[OsString],
    ) -> Result<Child, RuntimeError> {
        self.spawn_with(program, arguments, Stdio::piped, Stdio::piped)
    }

    fn spawn_with(
        &self,
        program: &Path,
        arguments: &[OsString],
        stdin: fn() -> Stdio,
        stdout: fn() -> Stdio,
    ) -> Result<Child, RuntimeError> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", &self.path).kill_on_drop(true);
        command.stdin(stdin()).stdout(stdout()).stderr(Stdio::piped());
        command.process_group(self.id.as_raw_nonzero().get()).spawn().map_err(spawn_error(program))
    }

    /// Keeps a helper until the group is dropped.
    pub(crate) fn keep(&mut self, helper: Child) {
        self.helpers.push(helper);
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // Fails only where nothing of the group is left.
        let _ = kill_process_group(self.id, Signal::KILL);
    }
}

fn spawn_error(program: &Path) -> impl FnOnce(std::io::Error) -> RuntimeError {
    let program: PathBuf = program.to_owned();
    move |source| RuntimeError::Spawn { program, source }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use port_content::fs::exists;
    use rustix::process::test_kill_process;

    use super::*;

    async fn until(mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn is_alive(child: &Child) -> bool {
        // A zombie can be signalled too; only its parent's wait ends it, so the test reaps first.
        child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .is_some_and(|id| test_kill_process(id).is_ok())
    }

    #[tokio::test]
    async fn dropping_the_group_kills_every_member() {
        let directory = tempfile::tempdir().unwrap();
        let group = ProcessGroup::start(directory.path(), "/usr/bin:/bin".into()).unwrap();
        let arguments = ["-c".into(), "trap '' TERM; sleep 100".into()];
        let mut member = group.spawn(Path::new(SHELL), &arguments).unwrap();
        assert!(is_alive(&member));
        drop(group);
        let status = tokio::time::timeout(Duration::from_secs(5), member.wait()).await.unwrap().unwrap();
        assert!(!status.success());
    }

    #[tokio::test]
    async fn the_guard_ends_the_group_and_cleans_up_when_port_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run");
        port_content::atomic::write(&run.join("agent.sock"), b"").unwrap();
        let mut group = ProcessGroup::start(&run, "/usr/bin:/bin".into()).unwrap();
        let deaf = directory.path().join("deaf");
        let script = r#"trap '' TERM; : > "$0"; while :; do sleep 1; done"#;
        let arguments = ["-c".into(), script.into(), deaf.clone().into()];
        let mut member = group.spawn(Path::new(SHELL), &arguments).unwrap();
        until(|| exists(&deaf)).await;
        let begun = Instant::now();
        // What the kernel does with the pipe when Port is killed.
        drop(group._guard.stdin.take());
        let status = tokio::time::timeout(Duration::from_secs(5), member.wait()).await.unwrap().unwrap();
        assert!(!status.success() && begun.elapsed() < Duration::from_secs(4));
        until(|| !exists(&run)).await;
    }
}
