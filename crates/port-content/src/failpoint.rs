//! Named points at which tests kill or fail the real program, to see what a crash leaves behind.
//!
//! `PORT_FAILPOINT=name=kill` kills the process with SIGKILL there, `name=error` makes the step fail; `name=kill:3`
//! does so at the third pass. `PORT_FAILPOINT=disk=WORD:7` breaks the seventh step of [`crate::witness`], whatever it is: `kill`, or as disks
//! fail (`io`, `full`, `short`, `flush`). The command line arms it once at start ([`arm`]); without it, a failpoint
//! costs one atomic load.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::witness::{self, Breaker, Fault};

static ARMED: OnceLock<Armed> = OnceLock::new();

#[derive(Debug)]
struct Armed {
    name: String,
    action: Action,
    /// How many more times the point is passed unharmed.
    passes: AtomicU32,
}

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

/// The name of any step.
const DISK: &str = "disk";

/// Arms one failpoint, from `name=kill` or `name=error`, each with `:N` for the Nth pass.
///
/// # Errors
/// A sentence naming the text, where it is neither, or names no failpoint.
pub fn arm(text: &str) -> Result<(), String> {
    let wrong =
        || format!("`{text}` is not a failpoint: expected `name=kill` or `name=error`, and `:N` after it");
    let (name, action) = text.split_once('=').ok_or_else(wrong)?;
    let (action, pass) = action.split_once(':').unwrap_or((action, "1"));
    let again = || "a failpoint is armed already".to_owned();
    if name == DISK {
        let fault = Fault::parse(action).ok_or_else(wrong)?;
        let number = pass.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
        return witness::break_any(Breaker::new(fault, number)).then_some(()).ok_or_else(again);
    }
    let action = match action {
        "kill" => Action::Kill,
        "error" => Action::Error,
        _ => return Err(wrong()),
    };
    let passes = pass.parse::<u32>().ok().and_then(|pass| pass.checked_sub(1)).ok_or_else(wrong)?;
    if !ALL.contains(&name) {
        return Err(format!("`{name}` is not a failpoint: expected one of {}", ALL.join(", ")));
    }
    let armed = Armed { name: name.to_owned(), action, passes: AtomicU32::new(passes) };
    ARMED.set(armed).map_err(|_| again())
}

/// Dies or fails here if this point is armed.
///
/// # Errors
/// Only when armed with `error`.
pub fn failpoint(name: &'static str) -> io::Result<()> {
    debug_assert!(ALL.contains(&name), "failpoint {name} is not in the list");
    let Some(armed) = ARMED.get().filter(|armed| armed.name == name) else { return Ok(()) };
    let left = armed.passes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    match (left, armed.action) {
        (Ok(_), _) => Ok(()),
        (Err(_), Action::Error) => Err(io::Error::other(format!("failpoint {name}"))),
        (Err(_), Action::Kill) => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            Ok(())
        }
    }
}
