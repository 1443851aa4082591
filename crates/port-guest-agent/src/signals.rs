//! Every signal as the kernel has it at first. An init that is a shell starts the agent in the background, and with
//! that POSIX has the shell ignore SIGINT and SIGQUIT; what is ignored stays so through every exec, so that Ctrl-C
//! would do nothing in any command of the guest.
#![expect(unsafe_code, reason = "signal(2) has no safe interface in std or rustix")]

use std::ffi::c_int;

/// `SIG_DFL`.
const DEFAULT: usize = 0;
/// SIGHUP to SIGSYS: numbered alike on every architecture that Port knows; nobody ignores a real-time signal.
const STANDARD_SIGNALS: std::ops::RangeInclusive<c_int> = 1..=31;
/// SIGPIPE, which Rust's runtime ignores for the agent itself, so that a closed pipe is an error and no end.
const SIGPIPE: c_int = 13;

unsafe extern "C" {
    /// Of the C library that std links.
    fn signal(number: c_int, handler: usize) -> usize;
}

/// For a process that is to become another program. Only makes system calls: it may run between fork and exec.
pub(crate) fn reset_all() {
    for number in STANDARD_SIGNALS {
        // SAFETY: no handler is installed. SIGKILL and SIGSTOP are refused, which is as good.
        let _ = unsafe { signal(number, DEFAULT) };
    }
}

/// For the agent itself.
pub(crate) fn reset_own() {
    for number in STANDARD_SIGNALS.filter(|number| *number != SIGPIPE) {
        // SAFETY: as above.
        let _ = unsafe { signal(number, DEFAULT) };
    }
}
