//! Named points at which tests kill or fail the real program, to see what a crash leaves behind.
//!
//! `PORT_FAILPOINT=name=kill` kills the process with SIGKILL there, `name=error` makes the step fail. The
//! command line arms it once at start ([`arm`]); without it, a failpoint costs one atomic load.

use std::io;
use std::sync::OnceLock;

static ARMED: OnceLock<(String, Action)> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Error,
}

/// Every failpoint there is, for the tests that walk through them all.
pub const ALL: &[&str] = &[
    "atomic.before-sync",
    "atomic.before-rename",
    "atomic.after-rename",
    "swap.before-exchange",
    "swap.after-exchange",
];

/// Arms one failpoint, from `name=kill` or `name=error`.
///
/// # Errors
/// A sentence naming the text, where it is neither, or names no failpoint.
pub fn arm(text: &str) -> Result<(), String> {
    let (name, action) = text.split_once('=').unwrap_or((text, ""));
    let action = match action {
        "kill" => Action::Kill,
        "error" => Action::Error,
        _ => return Err(format!("`{text}` is not a failpoint: expected `name=kill` or `name=error`")),
    };
    if !ALL.contains(&name) {
        return Err(format!("`{name}` is not a failpoint: expected one of {}", ALL.join(", ")));
    }
    ARMED.set((name.to_owned(), action)).map_err(|_| "a failpoint is armed already".to_owned())
}

/// Dies or fails here if this point is armed.
///
/// # Errors
/// Only when armed with `error`.
pub fn failpoint(name: &'static str) -> io::Result<()> {
    debug_assert!(ALL.contains(&name), "failpoint {name} is not in the list");
    match ARMED.get() {
        Some((armed, Action::Kill)) if armed == name => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            Ok(())
        }
        Some((armed, Action::Error)) if armed == name => Err(io::Error::other(format!("failpoint {name}"))),
        _ => Ok(()),
    }
}
