//! The processes of a container, seen from the host: found by what the kernel says of them, never by a name.

use std::path::PathBuf;

use port_content::fs;
use rustix::process::{Pid, Signal, kill_process};

/// More than any process has to say of itself or of its children.
const LARGEST: u64 = 1 << 20;

/// The process that is number 1 in the container that `nspawn` runs; none before it is there.
pub(crate) fn init_of(nspawn: u32) -> Option<u32> {
    children(nspawn).into_iter().find(|child| number_inside(*child) == Some(1))
}

/// The process that is number 2: the command.
pub(crate) fn main_of(init: u32) -> Option<u32> {
    children(init).into_iter().find(|child| number_inside(*child) == Some(2))
}

/// The process in a workload that `nsenter` started, which waits for it outside.
pub(crate) fn entered_by(nsenter: u32) -> Option<u32> {
    children(nsenter).into_iter().next()
}

/// Whether number 1 of a container is what was asked for, and not what still makes the container.
pub(crate) fn is_booted(init: u32) -> bool {
    let name = fs::read_to_string(&PathBuf::from(format!("/proc/{init}/comm")), LARGEST).unwrap_or_default();
    let name = name.trim();
    !name.is_empty() && name != "systemd-nspawn" && !name.starts_with("(sd-")
}

/// What the launcher runs, where it is number 1.
pub(crate) fn launched_by(init: u32) -> Option<u32> {
    let name = fs::read_to_string(&PathBuf::from(format!("/proc/{init}/comm")), LARGEST).ok()?;
    children(init).into_iter().next().filter(|_| name.starts_with("port-launcher"))
}

/// Sends a signal. A process that is gone needs none.
pub(crate) fn signal(process: u32, signal: Signal) {
    if let Some(id) = Pid::from_raw(process.cast_signed()) {
        let _ = kill_process(id, signal);
    }
}

fn children(process: u32) -> Vec<u32> {
    let path = PathBuf::from(format!("/proc/{process}/task/{process}/children"));
    let text = fs::read_to_string(&path, LARGEST).unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// The number of a process in its own namespace; none for a process of this one.
fn number_inside(process: u32) -> Option<u32> {
    let status = fs::read_to_string(&PathBuf::from(format!("/proc/{process}/status")), LARGEST).ok()?;
    nested_number(&status)
}

fn nested_number(status: &str) -> Option<u32> {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().skip(1).last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_this_namespace_has_no_number_inside() {
        assert_eq!(nested_number("Name:\tsh\nNSpid:\t6009\t1\n"), Some(1));
        assert_eq!(nested_number("NSpid:\t6009\t40\t2\n"), Some(2));
        assert_eq!(nested_number("NSpid:\t6009\n"), None);
        assert_eq!(init_of(std::process::id()), None);
    }
}
