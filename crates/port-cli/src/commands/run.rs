//! `port run`: boots a machine, runs a command in it, passes its output and exit status on; or boots a base image, or a package.

mod attach;
mod base_image;
mod package;

use clap::{Args, ValueEnum};
use port_base_images::Preset;
use port_model::Reference;
use port_ops::Workspace;
use port_ops::run::{self as ops, Plan, Purpose, RunReport};
use port_runtime::agent::Channel as Output;
use port_runtime::{ChannelKind, GuestCommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Format, Global};
use crate::commands::workspace;
use crate::error::{CommandError, Exit};
use crate::terminal;
use crate::ui::Ui;

/// Arguments of run.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The machine's name in `port.toml`.
    #[arg(required_unless_present_any = ["package", "base_image"], conflicts_with_all = ["package", "base_image"])]
    machine: Option<String>,
    /// Boot a base image instead, made ready where it is not cached: what is named is its preset.
    #[arg(long, value_name = "PRESET", value_parser = super::base_images::preset(), conflicts_with = "package")]
    base_image: Option<Preset>,
    /// Boot a unikernel instead: a package of the store, fetched where it is not there. Its console is stdin and stdout.
    #[arg(long, value_name = "PACKAGE", value_parser = super::packages::name)]
    package: Option<Reference>,
    /// Say where the time went (on stderr; in JSON: always).
    #[arg(long)]
    timing: bool,
    /// Boot nothing: print the bare command line that boots the machine, its console on stdin and stdout.
    #[arg(long, conflicts_with_all = ["package", "base_image"])]
    dry_run: bool,
    /// Insist on one way to the guest's agent; else the best that this host has is taken.
    #[arg(long, value_enum, requires = "command", conflicts_with = "package")]
    channel: Option<Channel>,
    /// What to run in the guest; its exit code becomes Port's. Without it, a shell on the console, which `exit`,
    /// Ctrl-] or the end of a piped input ends; the exit code is then 0. For a package: the arguments of its program,
    /// instead of those that it was packed with.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Memory of a package or of a base image, in MiB [default: 64, and 512].
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<u32>,
    #[command(flatten)]
    of_base_image: base_image::Flags,
    #[command(flatten)]
    of_package: package::Flags,
}

/// The ways to a guest's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Channel {
    /// The host kernel's vsock: needs `/dev/vhost-vsock`.
    KernelVsock,
    /// vsock through the program `vhost-device-vsock`.
    HelperVsock,
    /// A virtio-serial port: works everywhere.
    VirtioSerial,
}

impl From<Channel> for ChannelKind {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::KernelVsock => Self::KernelVsock,
            Channel::HelperVsock => Self::HelperVsock,
            Channel::VirtioSerial => Self::VirtioSerial,
        }
    }
}

/// What a shell says of a tool whose reader has gone: 128 + SIGPIPE.
const READER_GONE: u8 = 141;

/// How a run ended that did not fail.
enum Outcome {
    Report(RunReport),
    /// Whoever read the output wants no more.
    ReaderGone,
}

/// Boots and runs; the number is the command's exit code.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    if let Some(package) = arguments.package {
        arguments.of_base_image.refuse()?;
        let (flags, memory) = (arguments.of_package, arguments.memory_mib);
        let run = package::run(package, flags, memory, arguments.command, global, ui);
        return end(run, arguments.timing, ui).await;
    }
    arguments.of_package.refuse()?;
    let purpose = if arguments.command.is_empty() { Purpose::Console } else { Purpose::Command };
    if let Some(preset) = arguments.base_image {
        let (flags, memory) = (arguments.of_base_image, arguments.memory_mib);
        let (workspace, mut ready) = base_image::ready(preset, flags, memory, purpose, global, ui).await?;
        let plan = &mut ready.planned.plan;
        let how = How { purpose, channel: arguments.channel, timing: arguments.timing };
        return boot(&workspace, plan, how, &arguments.command, ui).await;
    }
    arguments.of_base_image.refuse()?;
    refuse_memory(arguments.memory_mib)?;
    let machine = arguments.machine.as_deref().unwrap_or_default();
    let workspace = workspace(global, ui)?;
    let mut plan = ops::plan(&workspace, machine, purpose)?;
    if arguments.dry_run {
        return dry_run(&workspace, &plan, ui).await;
    }
    let how = How { purpose, channel: arguments.channel, timing: arguments.timing };
    boot(&workspace, &mut plan, how, &arguments.command, ui).await
}

/// A machine of `port.toml` says itself how much it has.
fn refuse_memory(memory_mib: Option<u32>) -> Result<(), CommandError> {
    match memory_mib {
        None => Ok(()),
        Some(_) => Err(CommandError::new(
            Exit::Usage,
            "`--memory-mib` can be given for a package or a base image: a machine's is `memory_mib` in its table",
        )),
    }
}

/// How a plan is run.
#[derive(Clone, Copy)]
struct How {
    purpose: Purpose,
    channel: Option<Channel>,
    timing: bool,
}

/// Boots a plan and stays with it to its end.
async fn boot(
    workspace: &Workspace,
    plan: &mut Plan,
    how: How,
    words: &[String],
    ui: Ui,
) -> Result<u8, CommandError> {
    if let Some(channel) = how.channel {
        plan.insist_on(channel.into());
    }
    let work = async {
        match how.purpose {
            Purpose::Command if terminal::is_interactive() && ui.format == Format::Text => {
                attach::command(workspace, plan, words.to_vec(), ui).await
            }
            Purpose::Command => command(workspace, plan, words.to_vec(), ui).await,
            Purpose::Console => attach::console(workspace, plan, ui).await,
        }
    };
    end(work, how.timing, ui).await
}

/// Waits for the end of a run, or for a signal: dropping the work kills the machine and removes what it made.
async fn end(
    work: impl Future<Output = Result<Outcome, CommandError>>,
    timing: bool,
    ui: Ui,
) -> Result<u8, CommandError> {
    let mut signals = Signals::heard()?;
    let report = tokio::select! {
        // First: what is sent while the work has much to say is heard all the same.
        biased;
        code = signals.next() => return Ok(code),
        outcome = work => match outcome? {
            Outcome::Report(report) => report,
            Outcome::ReaderGone => return Ok(READER_GONE),
        },
    };
    say(ui, &report, timing);
    // A guest's exit code is a byte, as everywhere in Unix.
    Ok(u8::try_from(report.exit_code & 0xff).unwrap_or(1))
}

/// Ctrl-C and requests to end, which no longer kill this process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on.
    fn heard() -> Result<Self, CommandError> {
        let hear = |kind| {
            signal(kind).map_err(|error| {
                CommandError::new(Exit::Failed, format!("signals cannot be received: {error}"))
            })
        };
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
            hang_up: hear(SignalKind::hangup())?,
        })
    }

    /// Waits for one; gives the shell's exit code for it.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
            _ = self.hang_up.recv() => 129,
        }
    }
}

/// A command whose input and output are pipes or files.
async fn command(
    workspace: &Workspace,
    plan: &Plan,
    command: Vec<String>,
    ui: Ui,
) -> Result<Outcome, CommandError> {
    let mut stdin = tokio::io::stdin();
    let mut captured = Captured::default();
    let mut reader_gone = false;
    let mut on_output = |channel: Output, bytes: &[u8]| match (ui.format, channel) {
        (Format::Json, channel) => captured.take(channel, bytes),
        (Format::Text, Output::Stdout) => watch(ui.raw_stdout(bytes), &mut reader_gone),
        (Format::Text, Output::Stderr) => watch(ui.raw_stderr(bytes), &mut reader_gone),
    };
    let command = GuestCommand::new(command);
    let result = ops::run_command(workspace, plan, command, &mut stdin, &mut on_output).await;
    if reader_gone {
        return Ok(Outcome::ReaderGone);
    }
    let report = result?;
    if ui.format == Format::Json {
        ui.report(
            &serde_json::json!({ "run": report, "stdout": captured.stdout(), "stderr": captured.stderr() }),
            String::new,
        )?;
    }
    Ok(Outcome::Report(report))
}

/// Notes that nobody reads any more, which ends the operation as every error does.
fn watch(written: std::io::Result<()>, reader_gone: &mut bool) -> std::io::Result<()> {
    *reader_gone |= written.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
    written
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
    fn take(&mut self, channel: Output, bytes: &[u8]) -> std::io::Result<()> {
        let kept = match channel {
            Output::Stdout => &mut self.stdout,
            Output::Stderr => &mut self.stderr,
        };
        capture(kept, bytes, "the command")
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Keeps what a guest says, as far as a report holds it.
fn capture(kept: &mut Vec<u8>, bytes: &[u8], who: &str) -> std::io::Result<()> {
    if kept.len() + bytes.len() > CAPTURED {
        let message = format!("{who} wrote more than {CAPTURED} bytes, the most that a JSON report holds");
        return Err(std::io::Error::other(message));
    }
    kept.extend_from_slice(bytes);
    Ok(())
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
