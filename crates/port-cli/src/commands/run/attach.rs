//! A person at a terminal: a command on a pseudo-terminal in the guest, or the guest's console.

use std::time::Instant;

use port_ops::Workspace;
use port_ops::run::{self as ops, Plan, RunReport};
use port_runtime::agent::{Channel, HostFrame};
use port_runtime::{ConsoleStream, GuestCommand};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::{CommandError, Exit};
use crate::terminal::{self, RawMode};
use crate::ui::Ui;

/// Ctrl-], as telnet has it: ends a console session from outside.
const ESCAPE: u8 = 0x1d;
/// How many keystrokes may wait for the guest.
const QUEUE: usize = 64;

/// Runs a command on a terminal of its own in the guest.
pub(super) async fn command(
    workspace: &Workspace,
    plan: &Plan,
    command: Vec<String>,
    ui: Ui,
) -> Result<RunReport, CommandError> {
    let began = Instant::now();
    let mut machine = ops::boot(workspace, plan).await?;
    ops::wait_for_agent(&mut machine).await?;
    let client = machine.agent().map_err(port_ops::OpsError::from)?.clone();
    let command_began = Instant::now();
    let raw = RawMode::enter();
    let (sender, mut frames) = mpsc::channel(QUEUE);
    let typing = tokio::spawn(type_into(sender));
    let mut on_output = |_: Channel, bytes: &[u8]| ui.raw_stdout(bytes);
    let command = GuestCommand::new(command);
    let result = client.pty(command, terminal::size(), &mut frames, &mut on_output).await;
    typing.abort();
    drop(raw);
    let exit_code = ops::guest_exit_code(workspace, &mut machine, result).await?;
    let command = Some((command_began, Instant::now()));
    Ok(ops::finish(plan, machine, began, command, exit_code).await?)
}

/// Sends keys and window sizes until either end closes.
async fn type_into(frames: mpsc::Sender<HostFrame>) {
    let mut stdin = tokio::io::stdin();
    let Ok(mut resized) = signal(SignalKind::window_change()) else { return };
    let mut buffer = vec![0; 1024];
    loop {
        let frame = tokio::select! {
            read = stdin.read(&mut buffer) => match read {
                Ok(length @ 1..) => HostFrame::Input { data: buffer.get(..length).unwrap_or_default().to_vec().into() },
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
pub(super) async fn console(workspace: &Workspace, plan: &Plan, ui: Ui) -> Result<RunReport, CommandError> {
    let began = Instant::now();
    let mut machine = ops::boot(workspace, plan).await?;
    let stream = machine.take_console().ok_or_else(|| {
        CommandError::new(Exit::Bug, "the driver gave no console although one was asked for")
    })?;
    let ConsoleStream { mut output, mut input } = stream;
    let _raw = RawMode::enter();
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; 1024];
    let mut typing = true;
    loop {
        tokio::select! {
            bytes = output.recv() => match bytes {
                Some(bytes) => ui.raw_stdout(&bytes).map_err(|error| {
                    CommandError::new(Exit::Failed, format!("the console cannot be shown: {error}"))
                })?,
                None => break,
            },
            read = stdin.read(&mut buffer), if typing => {
                let keys = buffer.get(..read.unwrap_or(0)).unwrap_or_default();
                match keys.iter().position(|key| *key == ESCAPE) {
                    Some(_) => break,
                    None if keys.is_empty() => typing = false,
                    // A guest that has ended reads nothing; its output ends too, which ends the session.
                    None => typing = input.write(keys).await.is_ok(),
                }
            }
        }
    }
    Ok(ops::finish(plan, machine, began, None, 0).await?)
}
