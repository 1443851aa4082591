//! Runs a helper program: input in, bounded output out, an end in bounded time.
//!
//! The helper stays in Port's own process group, since it may ask its user on the terminal. Invariant: the
//! secret goes through a pipe, never through an argument or a variable.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use port_content::fs;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// More than any token has, in bytes.
const OUTPUT_LIMIT: usize = 256 * 1024;
/// How much of what it says on standard error is kept, in bytes.
const MESSAGE_LIMIT: usize = 4096;
/// A daemon that the helper left behind may hold its pipes open; what the helper wrote is there by then.
const PIPES_AFTER_END: Duration = Duration::from_millis(500);

/// What a helper left.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Why there is no output.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was killed when its time was up.
    TimedOut,
    /// It was killed when it had written too much.
    TooMuch,
    /// It could not be started or talked to.
    Io(io::Error),
}

/// The program of this name in the directories of `path`; relative directories are not looked into, since
/// they would let a checked-out tree bring its own helper.
pub(super) fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|program| {
            let metadata = fs::metadata(program);
            metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        })
}

/// Runs `command` with `input` on its standard input.
pub(super) async fn run(mut command: Command, input: &[u8], limit: Duration) -> Result<Output, Failure> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(Failure::Io)?;
    let result = timeout(limit, serve(&mut child, input)).await.unwrap_or(Err(Failure::TimedOut));
    if result.is_err() {
        // The only failure is that it has ended already; then there is nothing to kill.
        let _ = child.kill().await;
    }
    result
}

async fn serve(child: &mut Child, input: &[u8]) -> Result<Output, Failure> {
    let (stdin, out_pipe, err_pipe) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let talk = async {
        let feed = async {
            let Some(mut stdin) = stdin else { return Ok(()) };
            match stdin.write_all(input).await {
                // A helper need not read all; what it answers tells whether it did its work.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Io(error)),
                _ => Ok(()),
            }
        };
        let answer = read(out_pipe, &mut stdout, OUTPUT_LIMIT, Beyond::Refuse);
        let words = read(err_pipe, &mut stderr, MESSAGE_LIMIT, Beyond::Discard);
        tokio::try_join!(feed, answer, words).map(|_| ())
    };
    let status = end_of(child, talk).await?;
    Ok(Output { status, stdout, stderr })
}

/// Waits for both the program and its pipes, for the pipes only a while longer.
async fn end_of(
    child: &mut Child,
    talk: impl Future<Output = Result<(), Failure>>,
) -> Result<ExitStatus, Failure> {
    tokio::pin!(talk);
    let status = tokio::select! {
        biased;
        talked = &mut talk => {
            talked?;
            child.wait().await
        }
        ended = child.wait() => {
            if let Ok(talked) = timeout(PIPES_AFTER_END, &mut talk).await {
                talked?;
            }
            ended
        }
    };
    status.map_err(Failure::Io)
}

/// What to do with what is beyond a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    Refuse,
    Discard,
}

/// Keeps at most `limit` bytes.
async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
    limit: usize,
    beyond: Beyond,
) -> Result<(), Failure> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; 8192];
    loop {
        let count = pipe.read(&mut buffer).await.map_err(Failure::Io)?;
        if count == 0 {
            return Ok(());
        }
        let room = limit.saturating_sub(kept.len());
        kept.extend_from_slice(buffer.get(..count.min(room)).unwrap_or_default());
        if count > room && beyond == Beyond::Refuse {
            return Err(Failure::TooMuch);
        }
    }
}
