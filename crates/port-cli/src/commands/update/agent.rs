//! What the verbs of the agent share: the configuration, and what the command line says above it.
//!
//! Command line, then file, then default (acceptance Ou-3). Whatever is wrong here is said before anything is touched.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use port_content::fs;
use port_ops::update::agent::{Agent, AgentError, Now};
use port_update::config::{BootLoader, Config, LARGEST_CONFIG, UnknownKeys};
use port_update::slots::{BootEntries, BootPointer, DirectoryPointer, GrubPointer, HookPointer};
use port_update::{Found, SlotName, Slots};

use crate::error::{CommandError, Exit};
use crate::host;
use crate::ui::Ui;

const CONFIG: &str = "/etc/port/update.conf";
const STATE: &str = "/var/lib/port/update/state.json";
const SLOTS: &str = "/var/lib/port/slots";
const GRUB_BLOCK: &str = "/boot/grub/grubenv";
const ENTRIES: &str = "/boot/loader/entries";
/// What the kernel calls this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const KERNEL_ARGUMENTS: &str = "/proc/cmdline";

/// Nothing new, and not yet: neither is a failure.
pub const UP_TO_DATE: u8 = 10;
pub const DEFERRED: u8 = 11;

/// Where the agent's things are.
#[derive(Debug, Args)]
pub struct AgentFlags {
    /// The configuration [default: /etc/port/update.conf, where there is one]
    #[arg(long, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// Take no notice of keys in the configuration that Port does not know.
    #[arg(long)]
    ignore_unknown_keys: bool,
    /// Where the state is kept [default: /var/lib/port/update/state.json]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The directory of the slots `A` and `B` [default: /var/lib/port/slots]
    #[arg(long, value_name = "DIR")]
    slots: Option<PathBuf>,
    /// The slot that runs [default: what the kernel's command line says with `port.slot=`]
    #[arg(long, value_enum, value_name = "SLOT")]
    running_slot: Option<Slot>,
}

/// The slots.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Slot {
    /// The first.
    #[value(name = "A", alias = "a")]
    A,
    /// The second.
    #[value(name = "B", alias = "b")]
    B,
}

/// The configuration, and where things are by it.
pub struct Settings {
    /// The file.
    pub config: Config,
    /// The state's file.
    pub state: PathBuf,
    slots: PathBuf,
    running: Option<SlotName>,
}

impl AgentFlags {
    /// Reads the configuration. One that is named must be there.
    pub fn settings(&self) -> Result<Settings, CommandError> {
        let path = self.conf.clone().unwrap_or_else(|| PathBuf::from(CONFIG));
        let text = match fs::read_to_string(&path, LARGEST_CONFIG) {
            Err(error) if error.is_not_found() && self.conf.is_none() => String::new(),
            Err(error) => return Err(usage(port_error(&error))),
            Ok(text) => text,
        };
        let unknown = if self.ignore_unknown_keys { UnknownKeys::Ignored } else { UnknownKeys::Refused };
        let config =
            Config::parse(&text, unknown).map_err(|error| usage(format!("`{}`: {error}", path.display())))?;
        let or = |flag: &Option<PathBuf>, said: &Option<PathBuf>, default: &str| {
            flag.clone().or_else(|| said.clone()).unwrap_or_else(|| PathBuf::from(default))
        };
        let running = self.running_slot.map(|slot| match slot {
            Slot::A => SlotName::A,
            Slot::B => SlotName::B,
        });
        Ok(Settings {
            state: or(&self.state, &config.state, STATE),
            slots: or(&self.slots, &config.slots, SLOTS),
            running,
            config,
        })
    }
}

impl Settings {
    /// The slots, behind the boot loader that the configuration names.
    pub fn slots(&self) -> Result<Slots, CommandError> {
        let at =
            |default: &str| self.config.boot_loader_path.clone().unwrap_or_else(|| PathBuf::from(default));
        let pointer: Box<dyn BootPointer> = match self.config.boot_loader {
            BootLoader::Directory => Box::new(DirectoryPointer::new(&self.slots)),
            BootLoader::Grub => Box::new(GrubPointer::new(&at(GRUB_BLOCK), self.running()?)),
            BootLoader::Bls => Box::new(BootEntries::new(&at(ENTRIES), self.running()?, "")),
            BootLoader::Hook => {
                let program = self.config.boot_loader_path.as_deref();
                let missing =
                    || usage("`boot_loader = hook` needs `boot_loader_path`: the program".to_owned());
                Box::new(HookPointer::new(program.ok_or_else(missing)?))
            }
        };
        Ok(Slots::new(&self.slots, pointer))
    }

    fn running(&self) -> Result<SlotName, CommandError> {
        if let Some(slot) = self.running {
            return Ok(slot);
        }
        let text = fs::read_to_string(Path::new(KERNEL_ARGUMENTS), 64 * 1024).unwrap_or_default();
        let wrong = |found| {
            let expected = "expected `port.slot=A` or `B` on the kernel's command line";
            usage(format!("{found}: {expected}")).hint("or say `--running-slot A`")
        };
        said(&text).map_err(wrong)
    }

    /// The time, and the boot.
    pub fn now() -> Now {
        let boot_id = fs::read_to_string(Path::new(BOOT_ID), 256).ok();
        Now { seconds: seconds(), boot_id: boot_id.map(|id| id.trim().to_owned()) }
    }

    /// The agent, which takes in first what this boot says.
    pub fn agent(&self, ui: Ui) -> Result<Result<Agent, AgentError>, CommandError> {
        let opened = Agent::open(self.slots()?, &self.state, Self::now());
        if let Ok(agent) = &opened
            && let Found::Broken(reason) = agent.found()
        {
            ui.note(&format!("warning: the state was made anew from what boots: {reason}"));
        }
        Ok(opened)
    }
}

/// Which slot a kernel's command line says that it runs. What is said twice in two ways is not said.
fn said(arguments: &str) -> Result<SlotName, &'static str> {
    let words = arguments.split_whitespace().filter_map(|word| word.strip_prefix("port.slot="));
    let mut slots = words.map(SlotName::parse);
    match slots.next() {
        Some(Some(slot)) if slots.all(|other| other == Some(slot)) => Ok(slot),
        Some(Some(_)) => Err("it is said in two ways which slot runs"),
        Some(None) => Err("another slot than there is runs"),
        None => Err("nobody says which slot runs"),
    }
}

/// The time in seconds since 1970; a clock before it is at it.
pub fn seconds() -> u64 {
    host::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time, for people.
pub fn at(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.to_string())
}

/// A command line or configuration that cannot be.
pub fn usage(message: String) -> CommandError {
    CommandError::new(Exit::Usage, message)
}

fn port_error(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Says an agent's error, and gives its exit code.
pub fn code_of(error: AgentError, ui: Ui) -> u8 {
    let code = error.exit_code();
    CommandError::from(error).print(ui);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_that_says_two_slots_says_none() {
        for (arguments, expected) in [
            ("ro port.slot=B quiet", Some(SlotName::B)),
            ("port.slot=A ro port.slot=A", Some(SlotName::A)),
            ("port.slot=A ro port.slot=B", None),
            ("port.slot=A port.slot=c", None),
            ("port.slot=C", None),
            ("ro", None),
        ] {
            assert_eq!(said(arguments).ok(), expected, "{arguments}");
        }
    }
}
