//! One run of a program: how long it took, and the most memory that it had at one time.
//!
//! The peak is the kernel's own high-water mark (`VmHWM`), read every few milliseconds while the program runs: the mark
//! never falls, so that only what a program takes in its last few milliseconds can be missed. Helpers that it starts count
//! with it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// Often enough for a peak; seldom enough to cost nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// A program that hangs must not hang the benchmark.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a run took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Run {
    pub(super) milliseconds: f64,
    /// Until what it wrote was on the disk too.
    pub(super) durable_milliseconds: f64,
    pub(super) peak_bytes: u64,
}

/// Runs `command`; `directory` holds what it says, and lies on the disk that it writes to.
pub(super) fn run(command: &mut Command, directory: &Path) -> Outcome<Run> {
    let errors = directory.join("stderr");
    let said = File::create(&errors).map_err(|error| Failure::io("create", &errors, &error))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| process::not_started(command, &error))?;
    let over = AtomicBool::new(false);
    let process = child.id();
    let (ended, peak_bytes) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(process, &over));
        let ended = child.wait().map(|status| (status, start.elapsed()));
        over.store(true, Ordering::Relaxed);
        (ended, watching.join().unwrap_or(0))
    });
    let (status, elapsed) = ended.map_err(|error| process::not_started(command, &error))?;
    if !status.success() {
        let said = workspace::read_text(&errors).unwrap_or_default();
        return Err(Failure::new(format!("`{}` failed: {status}\n{said}", process::shown(command))));
    }
    settle(directory)?;
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    Ok(Run {
        milliseconds: milliseconds(elapsed),
        durable_milliseconds: milliseconds(start.elapsed()),
        peak_bytes,
    })
}

/// Waits until nothing is left to be written to the disk of `directory`: what one program left must not slow the next.
pub(super) fn settle(directory: &Path) -> Outcome {
    process::read(process::program("sync").arg("--file-system").arg(directory)).map(drop)
}

fn watch(process: u32, over: &AtomicBool) -> u64 {
    let mut peak = 0;
    let deadline = Instant::now() + PATIENCE;
    while !over.load(Ordering::Relaxed) {
        if Instant::now() > deadline {
            println!("process {process} is not done after {PATIENCE:?} and is ended");
            // Where it cannot be ended there is nothing left to do but to wait.
            let _ = process::read(process::program("kill").args(["-KILL", &process.to_string()]));
            return peak;
        }
        peak = peak.max(marks(process));
        std::thread::sleep(LOOK_AGAIN);
    }
    peak
}

/// The marks of a process and of those that it started. One that is ending has no mark any more.
fn marks(process: u32) -> u64 {
    let text = |name: &str| std::fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
    let children = text(&format!("task/{process}/children"));
    let children = children.split_whitespace().filter_map(|child| child.parse().ok()).map(marks).sum::<u64>();
    high_water_mark(&text("status")).unwrap_or(0) + children
}

/// `VmHWM:     1234 kB`, in bytes.
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_read_and_its_absence_is_none() {
        assert_eq!(high_water_mark("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n"), Some(1234 * 1024));
        assert_eq!(high_water_mark("Name:\tx\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn a_run_is_timed_and_watched_and_a_failure_carries_what_was_said() {
        let directory = std::env::temp_dir().join(format!("port-xtask-measured-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let shell = |script: &str| run(process::program("sh").args(["-c", script]), &directory);
        let found = shell("sleep 0.1").unwrap();
        assert!(found.milliseconds >= 100.0 && found.durable_milliseconds >= found.milliseconds, "{found:?}");
        assert!(found.peak_bytes > 0, "{found:?}");
        assert!(shell("echo why >&2; exit 3").unwrap_err().to_string().contains("why"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
