//! `port run`: boots a machine, runs a command in it, passes its output and exit status on.

mod attach;

use clap::Args;
use port_ops::Workspace;
use port_ops::run::{self as ops, Plan, Purpose, RunReport};
use port_runtime::GuestCommand;
use port_runtime::agent::Channel;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Format, Global};
use crate::commands::workspace;
use crate::error::{CommandError, Exit};
use crate::terminal;
use crate::ui::Ui;

/// Arguments of run.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The machine's name in `port.toml`.
    machine: String,
    /// Say where the time went (on stderr; in JSON: always).
    #[arg(long)]
    timing: bool,
    /// Boot nothing: print the bare command line that boots the machine, its console on stdin and stdout.
    #[arg(long)]
    dry_run: bool,
    /// What to run in the guest; without it, a shell on the console (leave it with `exit` or Ctrl-]).
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Boots and runs; the number is the command's exit code.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    let workspace = workspace(global, ui)?;
    let purpose = if arguments.command.is_empty() { Purpose::Console } else { Purpose::Command };
    let plan = ops::plan(&workspace, &arguments.machine, purpose)?;
    if arguments.dry_run {
        return dry_run(&workspace, &plan, ui).await;
    }
    let work = async {
        match purpose {
            Purpose::Command if terminal::is_interactive() && ui.format == Format::Text => {
                attach::command(&workspace, &plan, arguments.command.clone(), ui).await
            }
            Purpose::Command => command(&workspace, &plan, arguments.command.clone(), ui).await,
            Purpose::Console => attach::console(&workspace, &plan, ui).await,
        }
    };
    // Dropping the work kills the machine and removes what it made.
    let report = tokio::select! {
        report = work => report?,
        code = interrupted() => return code,
    };
    say(ui, &report, arguments.timing);
    // A guest's exit code is a byte, as everywhere in Unix.
    Ok(u8::try_from(report.exit_code & 0xff).unwrap_or(1))
}

/// Waits for Ctrl-C or a request to end; gives the shell's exit code for it.
async fn interrupted() -> Result<u8, CommandError> {
    let failed = |error| CommandError::new(Exit::Failed, format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(130),
        _ = terminate.recv() => Ok(143),
        _ = hang_up.recv() => Ok(129),
    }
}

/// A command whose input and output are pipes or files.
async fn command(
    workspace: &Workspace,
    plan: &Plan,
    command: Vec<String>,
    ui: Ui,
) -> Result<RunReport, CommandError> {
    let mut stdin = tokio::io::stdin();
    let mut captured = Captured::default();
    let mut on_output = |channel: Channel, bytes: &[u8]| match (ui.format, channel) {
        (Format::Json, channel) => captured.take(channel, bytes),
        (Format::Text, Channel::Stdout) => ui.raw_stdout(bytes),
        (Format::Text, Channel::Stderr) => ui.raw_stderr(bytes),
    };
    let command = GuestCommand::new(command);
    let report = ops::run_command(workspace, plan, command, &mut stdin, &mut on_output).await?;
    if ui.format == Format::Json {
        ui.report(
            &serde_json::json!({ "run": report, "stdout": captured.stdout(), "stderr": captured.stderr() }),
            String::new,
        )?;
    }
    Ok(report)
}

/// A command's output, kept for the JSON report.
#[derive(Debug, Default)]
struct Captured {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// How much of each output a JSON report holds, in bytes.
const CAPTURED: usize = 16 * 1024 * 1024;

impl Captured {
    fn take(&mut self, channel: Channel, bytes: &[u8]) -> std::io::Result<()> {
        let kept = match channel {
            Channel::Stdout => &mut self.stdout,
            Channel::Stderr => &mut self.stderr,
        };
        if kept.len() + bytes.len() > CAPTURED {
            let message =
                format!("the command wrote more than {CAPTURED} bytes, the most that a JSON report holds");
            return Err(std::io::Error::other(message));
        }
        kept.extend_from_slice(bytes);
        Ok(())
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

async fn dry_run(workspace: &Workspace, plan: &Plan, ui: Ui) -> Result<u8, CommandError> {
    let command = ops::bare_command(workspace, plan).await?;
    ui.report(&serde_json::json!({ "command": command }), || shell_words(&command))?;
    Ok(0)
}

/// The words as a shell takes them.
fn shell_words(words: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c))
    };
    let quote = |word: &String| {
        if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn say(ui: Ui, report: &RunReport, timing: bool) {
    if !timing || ui.format == Format::Json {
        return;
    }
    let timings = &report.timings;
    let part = |name: &str, value: Option<u64>| value.map(|value| format!("{name} {value} ms"));
    let parts = [
        part("prepare", Some(timings.prepare)),
        part("first console byte", timings.firmware),
        part("boot", timings.boot),
        part("command", timings.command),
        part("power off", timings.power_off),
        part("total", Some(timings.total)),
    ];
    ui.note(&format!("timing: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", ")));
}

#[cfg(test)]
mod tests {
    use super::shell_words;

    #[test]
    fn words_survive_a_shell() {
        let words = ["qemu", "-append", "console=ttyS0 ro", "it's", ""].map(str::to_owned);
        assert_eq!(shell_words(&words), "qemu -append 'console=ttyS0 ro' 'it'\\''s' ''");
    }
}
