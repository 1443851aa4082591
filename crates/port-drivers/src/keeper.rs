//! Who keeps a supervisor that goes on alone: systemd, where it runs the host, else nobody but the kernel.
//!
//! ```text
//! systemd-run ─► unit port-NAME.service ─► own group, handed over ─► what the caller adds      (is started by systemd, which stays)
//! setsid ──────► what the caller adds                                                          (becomes it)
//! ```
//!
//! A supervisor behaves alike with both. With systemd, `systemctl stop` asks it as `port workload stop` does, a host that shuts down
//! does so too, and nothing of the session that started it can end it.

use std::ffi::OsStr;
use std::path::Path;

use port_content::fs;
use tokio::process::Command;

use crate::room::Room;

/// sd_booted(3): there where systemd is what runs the host.
const RUNS_THE_HOST: &str = "/run/systemd/system";
/// How long a unit has to end: what `port workload stop` gives a workload, and a moment for what is left.
const TIME_TO_STOP: &str = "15s";
/// In a unit whose group is handed over, a group of version 2 hands controllers down only where no process is in it: the supervisor goes
/// into one of its own, and workloads' groups are made beside that.
const ENTER: &str = r#"exec 2>>"$1"; shift
group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
if [ -e "$group/cgroup.procs" ] && mkdir -p "$group/supervisor"; then echo $$ > "$group/supervisor/cgroup.procs"; fi
exec "$@""#;

/// Keeps supervisors.
///
/// Contract: what [`Keeper::command`] gives becomes or starts the words that are added to it, in a session of their own and with
/// the search path.
pub(crate) trait Keeper: std::fmt::Debug + Send + Sync {
    /// The program that is started.
    fn program(&self) -> &'static str;

    /// It and its words, up to those that it is to run.
    fn command(&self, room: &Room, path: &OsStr) -> Command;

    /// Whether the process that was started becomes the supervisor. Else it ends when that runs.
    fn becomes(&self) -> bool;
}

/// Port alone.
#[derive(Debug)]
struct Alone;

/// A unit of systemd's for each workload.
#[derive(Debug)]
struct Systemd;

/// Who keeps supervisors on this host.
pub(crate) fn of_host(path: &OsStr) -> Box<dyn Keeper> {
    let there = |directory: std::path::PathBuf| fs::exists(&directory.join(Systemd.program()));
    if fs::exists(Path::new(RUNS_THE_HOST)) && std::env::split_paths(path).any(there) {
        return Box::new(Systemd);
    }
    alone()
}

/// For a supervisor that ends with whoever started it.
pub(crate) fn alone() -> Box<dyn Keeper> {
    Box::new(Alone)
}

impl Keeper for Alone {
    fn program(&self) -> &'static str {
        "setsid"
    }

    fn command(&self, _: &Room, _: &OsStr) -> Command {
        Command::new(self.program())
    }

    fn becomes(&self) -> bool {
        true
    }
}

impl Keeper for Systemd {
    fn program(&self) -> &'static str {
        "systemd-run"
    }

    fn command(&self, room: &Room, path: &OsStr) -> Command {
        let mut command = Command::new(self.program());
        command.args(["--quiet", "--collect", "--no-ask-password", "--service-type=exec"]);
        command.arg(format!("--unit={}", unit(room.name())));
        command.arg(format!("--description=Workload {}", room.name().replace('%', "%%")));
        command.args(["--property=Delegate=yes", "--property=KillMode=mixed"]);
        command.arg(format!("--property=TimeoutStopSec={TIME_TO_STOP}"));
        let mut set = std::ffi::OsString::from("--setenv=PATH=");
        set.push(path);
        command.arg(set).args(["--", "/bin/sh", "-c"]);
        // systemd puts values where it finds `$`, and takes two for one.
        command.arg(ENTER.replace('$', "$$")).arg("port-keep").arg(room.last_words());
        command
    }

    fn becomes(&self) -> bool {
        false
    }
}

/// The unit of a workload: names are letters, digits, `.`, `_` and `-`, which units may have.
pub(crate) fn unit(name: &str) -> String {
    format!("port-{name}.service")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_handed_its_group_and_asks_before_it_kills() {
        let room = Room::at("/rooms/web.1".into());
        let command = Systemd.command(&room, OsStr::new("/usr/bin"));
        let words: Vec<String> =
            command.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        for word in [
            "--unit=port-web.1.service",
            "--property=Delegate=yes",
            "--property=KillMode=mixed",
            "--setenv=PATH=/usr/bin",
        ] {
            assert!(words.iter().any(|one| one == word), "{word}: {words:?}");
        }
        assert_eq!(words.last().unwrap(), "/rooms/web.1/supervisor.log");
        assert!(words.iter().any(|one| one.contains("exec \"$$@\"")), "{words:?}");
        assert!(!Systemd.becomes() && Alone.becomes());
    }

    #[test]
    fn without_systemd_s_program_nobody_is_asked() {
        assert_eq!(of_host(OsStr::new("/nowhere")).program(), "setsid");
    }
}
