//! A person at a terminal: a command on a pseudo-terminal in the guest, or the guest's console.

use std::time::{Duration, Instant};

use port_ops::Workspace;
use port_ops::run::package::Left;
use port_ops::run::{self as ops, Plan};
use port_runtime::agent::{Channel, HostFrame};
use port_runtime::{ConsoleStream, GuestCommand};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Outcome;
use crate::error::{CommandError, Exit};
use crate::terminal::{self, RawMode};
use crate::ui::Ui;

/// Ctrl-], as telnet has it: ends a console session from outside.
const ESCAPE: u8 = 0x1d;
/// Ctrl-D, as a terminal has it: the end of what is typed.
const END_OF_INPUT: u8 = 0x04;
/// How many keystrokes may wait for the guest.
const QUEUE: usize = 64;

/// Runs a command on a terminal of its own in the guest.
pub(super) async fn command(
    workspace: &Workspace,
    plan: &Plan,
    command: Vec<String>,
    ui: Ui,
) -> Result<Outcome, CommandError> {
    let began = Instant::now();
    let mut machine = ops::start(workspace, plan).await?;
    let raw = RawMode::enter();
    let (sender, mut frames) = mpsc::channel(QUEUE);
    let typing = tokio::spawn(type_into(sender));
    let mut on_output = |_: Channel, bytes: &[u8]| ui.raw_stdout(bytes);
    let command = GuestCommand::new(command);
    let result = machine.run_on_terminal(command, terminal::size(), &mut frames, &mut on_output).await;
    typing.abort();
    drop(raw);
    let exit_code = ops::exit_code(workspace, result)?;
    Ok(Outcome::Report(ops::finish(plan, machine, began, exit_code).await?))
}

/// Sends keys and window sizes until either end closes.
async fn type_into(frames: mpsc::Sender<HostFrame>) {
    let mut stdin = tokio::io::stdin();
    let Ok(mut resized) = signal(SignalKind::window_change()) else { return };
    let mut buffer = vec![0; 1024];
    loop {
        let frame = tokio::select! {
            read = stdin.read(&mut buffer) => match read {
                Ok(length @ 1..) => HostFrame::Input { data: buffer.get(..length).unwrap_or_default().to_vec() },
                _ => return,
            },
            _ = resized.recv() => {
                let (cols, rows) = terminal::size();
                HostFrame::Resize { cols, rows }
            }
        };
        if frames.send(frame).await.is_err() {
            return;
        }
    }
}

/// Joins the terminal and the guest's console until the guest powers off or the person leaves.
pub(super) async fn console(workspace: &Workspace, plan: &mut Plan, ui: Ui) -> Result<Outcome, CommandError> {
    let began = Instant::now();
    if terminal::is_interactive() {
        let (columns, lines) = terminal::size();
        plan.set_console_size(columns, lines);
    }
    let mut machine = ops::boot(workspace, plan).await?;
    let stream = machine.take_console().ok_or_else(|| {
        CommandError::new(Exit::Bug, "the driver gave no console although one was asked for")
    })?;
    let raw = RawMode::enter();
    let mut stdin = tokio::io::stdin();
    let joined = join(stream, &mut stdin, Keyboard::Shell, |bytes| ui.raw_stdout(bytes)).await;
    drop(raw);
    match joined {
        Ok(_) => Ok(Outcome::Report(ops::finish(plan, machine, began, 0).await?)),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Outcome::ReaderGone),
        Err(error) => Err(CommandError::new(Exit::Failed, format!("the console cannot be shown: {error}"))),
    }
}

/// What reads what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyboard {
    /// Linux and its shell: what is typed before they read is lost, and the end of the input is Ctrl-D.
    Shell,
    /// A program without a terminal's ways: it gets every byte at once, and no byte of ours.
    Plain,
}

/// Carries both ways, and says who left. For a shell, what is typed is held until the guest is ready.
pub(super) async fn join(
    stream: ConsoleStream,
    stdin: &mut (dyn AsyncRead + Send + Unpin),
    keyboard: Keyboard,
    mut show: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<Left> {
    let ConsoleStream { mut output, mut input } = stream;
    let mut ready = if keyboard == Keyboard::Plain { Readiness::Ready } else { Readiness::Off };
    let mut line = Vec::new();
    let mut buffer = vec![0; 1024];
    let mut held = Vec::new();
    let mut is_typing = true;
    loop {
        tokio::select! {
            bytes = output.recv() => match bytes {
                Some(bytes) => {
                    ready.look(&mut line, &bytes);
                    show(&bytes)?;
                }
                None => return Ok(Left::Guest),
            },
            () = tokio::time::sleep(SILENCE), if ready == Readiness::Booting => ready = Readiness::Ready,
            read = stdin.read(&mut buffer), if is_typing && held.len() < MOST_HELD => {
                let keys = buffer.get(..read.unwrap_or(0)).unwrap_or_default();
                if keys.contains(&ESCAPE) {
                    return Ok(Left::Person);
                }
                is_typing = !keys.is_empty();
                if is_typing {
                    held.extend_from_slice(keys);
                } else if keyboard == Keyboard::Shell {
                    // The shell reads no end of a file on a serial line.
                    held.extend_from_slice(&[b'\n', END_OF_INPUT]);
                }
            }
        }
        // A guest that has ended reads nothing; its output ends too, which ends the session.
        if ready == Readiness::Ready && !held.is_empty() {
            is_typing &= input.write(&held).await.is_ok();
            held.clear();
        }
    }
}

/// How much of what is typed is held for a guest that is not ready.
const MOST_HELD: usize = 64 * 1024;
/// What Port's guests say when they begin to read.
const MARKER: &[u8] = b"port: console ready";
/// A guest that does not say so is taken for ready after it was silent for this long.
const SILENCE: Duration = Duration::from_secs(8);

/// Whether the guest reads its console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    /// It has said nothing.
    Off,
    /// It talks.
    Booting,
    /// It reads.
    Ready,
}

impl Readiness {
    /// Looks for the marker in what the guest says; `seen` keeps what may be the beginning of one.
    fn look(&mut self, seen: &mut Vec<u8>, bytes: &[u8]) {
        if *self == Self::Ready {
            return;
        }
        seen.extend_from_slice(bytes);
        let found = seen.windows(MARKER.len()).any(|window| window == MARKER);
        *self = if found { Self::Ready } else { Self::Booting };
        seen.drain(..seen.len().saturating_sub(MARKER.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_ready_when_it_says_so_in_any_pieces() {
        let text = b"[ 1.0] booting\r\nport: console port: console ready\r\n~ # ";
        for size in 1..text.len() {
            let (mut ready, mut seen) = (Readiness::Off, Vec::new());
            text.chunks(size).for_each(|piece| ready.look(&mut seen, piece));
            assert_eq!(ready, Readiness::Ready, "pieces of {size}");
            assert!(seen.len() <= MARKER.len() + size);
        }
        let (mut ready, mut seen) = (Readiness::Off, Vec::new());
        ready.look(&mut seen, b"port: console");
        assert_eq!(ready, Readiness::Booting);
    }
}
