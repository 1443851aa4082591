//! `port-guest-agent console -- COMMAND`: becomes a command on the machine's console, as a session of its own with
//! the console as its controlling terminal: Ctrl-C reaches what runs in front, and a shell has job control.
//!
//! /dev/console itself can control no session, so the terminal behind it is opened. Not a login: nobody is asked for
//! a name.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::termios::Winsize;

use crate::error::OperationError;
use crate::signals;

/// What a host waits for before it types: what is typed earlier is lost.
const READY: &str = "port: console ready\n";
/// The terminals behind /dev/console; the last one is the one that reads.
const ACTIVE: &str = "/sys/class/tty/console/active";
const BOOT_LINE: &str = "/proc/cmdline";
/// How the host tells its terminal's size: a serial line has none.
const SIZE: &str = "port.console_size=";
/// The longest file that is read here.
const LONGEST: u64 = 64 * 1024;

/// Becomes `command`; returns only what went wrong.
pub(crate) fn run(command: &[String]) -> Result<Infallible, OperationError> {
    let (name, arguments) = command.split_first().ok_or_else(|| OperationError::Unexpected {
        subject: "console".to_owned(),
        expected: "a command after `--`",
        found: "none".to_owned(),
    })?;
    // Refused only where this is the leader of a session already.
    let _ = rustix::process::setsid();
    let path = terminal(&read(ACTIVE));
    let failed = |operation| OperationError::system(operation, path.display());
    let opened = rustix::fs::openat(CWD, &path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let tty = opened.map_err(failed("open"))?;
    // Opening it may have done this; a terminal that serves another session stays with it.
    let _ = rustix::process::ioctl_tiocsctty(tty.as_fd());
    if let Some(size) = size(&read(BOOT_LINE)) {
        rustix::termios::tcsetwinsize(&tty, size).map_err(failed("size"))?;
    }
    rustix::stdio::dup2_stdin(&tty).map_err(failed("read"))?;
    rustix::stdio::dup2_stdout(&tty).map_err(failed("write"))?;
    rustix::stdio::dup2_stderr(&tty).map_err(failed("write"))?;
    rustix::io::write(&tty, READY.as_bytes()).map_err(failed("write"))?;
    signals::reset_all();
    let source = Command::new(name).args(arguments).exec();
    Err(OperationError::CommandCannotRun { command: name.clone(), source })
}

/// What cannot be read says nothing.
fn read(path: &str) -> String {
    let mut text = String::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(LONGEST).read_to_string(&mut text);
    }
    text
}

fn terminal(active: &str) -> PathBuf {
    Path::new("/dev").join(active.split_whitespace().next_back().unwrap_or("console"))
}

fn size(boot_line: &str) -> Option<Winsize> {
    let value = boot_line.split_whitespace().rev().find_map(|token| token.strip_prefix(SIZE))?;
    let (cols, rows) = value.split_once('x')?;
    Some(crate::terminal::size(cols.parse().ok()?, rows.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_is_the_last_that_the_kernel_names() {
        for (active, expected) in
            [("ttyS0\n", "/dev/ttyS0"), ("tty0 ttyAMA0\n", "/dev/ttyAMA0"), ("", "/dev/console")]
        {
            assert_eq!(terminal(active), Path::new(expected));
        }
    }

    #[test]
    fn the_size_is_a_token_of_the_boot_line_or_none() {
        let found = size("ro port.console_size=80x24 port.console_size=120x50\n").unwrap();
        assert_eq!((found.ws_col, found.ws_row), (120, 50));
        for line in ["", "ro", "port.console_size=", "port.console_size=80", "port.console_size=axb"] {
            assert!(size(line).is_none(), "{line}");
        }
    }
}
