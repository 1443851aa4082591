//! Serves a child's pipes until it ends: a thread for its input, one for its standard error, one that kills
//! it when its time is up.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How much of the standard error is kept, in bytes: its end, where tools say what went wrong.
const STDERR_KEPT: usize = 64 * 1024;
/// How a child ended, pipe by pipe.
pub(super) struct Ran {
    pub(super) fed: io::Result<()>,
    /// One byte more than the limit where it wrote too much.
    pub(super) stdout: io::Result<Vec<u8>>,
    /// The end of it.
    pub(super) stderr: io::Result<Vec<u8>>,
    pub(super) status: io::Result<ExitStatus>,
    pub(super) timed_out: bool,
}

/// Serves all pipes until the child has ended.
pub(super) fn serve<F>(
    mut child: Child,
    process: &OwnedFd,
    stdout_limit: u64,
    time_limit: Duration,
    feed: Option<F>,
) -> Ran
where
    F: FnOnce(&mut dyn Write) -> io::Result<()> + Send,
{
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (alive, ended) = channel::<()>();
    thread::scope(|scope| {
        let feeder = stdin.zip(feed).map(|(mut stdin, feed)| scope.spawn(move || feed(&mut stdin)));
        let stderr = scope.spawn(move || stderr.map_or(Ok(Vec::new()), read_end));
        let watchdog = scope.spawn(move || watch(&ended, time_limit, process));
        let stdout = stdout.map_or(Ok(Vec::new()), |stdout| read_up_to(stdout, stdout_limit));
        if stdout.as_ref().map_or(true, |bytes| bytes.len() as u64 > stdout_limit) {
            kill(process);
        }
        let status = child.wait();
        drop(alive);
        Ran {
            fed: feeder.map_or(Ok(()), |feeder| joined(feeder.join()).and_then(|fed| fed)),
            stdout,
            stderr: joined(stderr.join()).and_then(|stderr| stderr),
            status,
            timed_out: watchdog.join().unwrap_or(false),
        }
    })
}

/// A handle on the process that stays its own, even when the process has ended and its number is reused.
pub(super) fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the process has no number"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn kill(process: &OwnedFd) {
    // The only failure is that it has ended already.
    let _ = rustix::process::pidfd_send_signal(process, rustix::process::Signal::KILL);
}

/// Kills the process when the limit passes before the other end of the channel is dropped.
fn watch(ended: &Receiver<()>, limit: Duration, process: &OwnedFd) -> bool {
    let timed_out = ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
    if timed_out {
        kill(process);
    }
    timed_out
}

fn joined<T>(result: thread::Result<T>) -> io::Result<T> {
    result.map_err(|_| io::Error::other("a thread that serves a pipe panicked"))
}

/// Reads one byte more than `limit` at most, so that the caller can tell.
fn read_up_to(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads all, keeps the end.
fn read_end(mut reader: impl Read) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = vec![0; STDERR_KEPT];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let excess = kept.len().saturating_sub(STDERR_KEPT);
        kept.drain(..excess);
    }
}
