//! A [`MachineSpec`] and what is known of the host, turned into QEMU's arguments. Pure: no I/O, no clock.
//!
//! Traps this file knows (each found by booting):
//! - `microvm` has no clock to calibrate the TSC against: emulated x86 guests are told its rate, and get the
//!   slower `q35` where the rate is unknown.
//! - virtio-mmio must not be legacy, or vhost-user devices hang.
//! - `acpi=off` is never passed: kernels without `VIRTIO_MMIO_CMDLINE_DEVICES` find their disks through ACPI.
//! - `-cpu max` is four times slower than `cortex-a57` for emulated aarch64.
//! - a comma in a path is doubled, or QEMU reads the rest as options.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use port_model::{Architecture, Cmdline};
use serde::{Deserialize, Serialize};

use super::devices;
use crate::accelerator::Accelerator;
use crate::machine_spec::{ChannelKind, KernelFamily, MachineSpec};
use crate::virtiofs;

/// What rendering must know beside the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// The way to the agent; `None` for a guest without one.
    pub channel: Option<ChannelKind>,
    /// Rate of the host's time stamp counter.
    pub tsc_khz: Option<u32>,
    /// Whether this QEMU can filter its own system calls.
    pub sandbox: Sandbox,
    /// Where the serial console goes.
    pub console: ConsoleTarget,
    /// The control socket, on which Port listens.
    pub qmp_socket: Option<PathBuf>,
    /// The agent's socket: Port listens on it for virtio-serial, the helper for vhost-user vsock.
    pub agent_socket: PathBuf,
}

/// Whether QEMU filters its own system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// Yes.
    On,
    /// This QEMU was built without.
    Unsupported,
}

/// Where QEMU puts the serial console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleTarget {
    /// To a Unix socket on which Port listens.
    Socket(PathBuf),
    /// Into a file.
    File(PathBuf),
    /// To QEMU's own standard input and output.
    Stdio,
    /// Nowhere.
    Null,
}

/// The model of the machine's board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// x86 without PCI: starts fastest.
    Microvm,
    /// x86 with PCI and a reference clock.
    Q35,
    /// x86 as kraft's machines have it: what unikernels are built for.
    Pc,
    /// Arm.
    Virt,
}

/// Denies QEMU what a VMM for one guest never does: starting programs, gaining rights, old system calls.
pub(crate) const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

impl Board {
    /// The board for a machine on this host.
    pub fn choose(spec: &MachineSpec, facts: &HostFacts) -> Self {
        match (spec.architecture, spec.family, facts.accelerator) {
            (Architecture::Aarch64, _, _) => Self::Virt,
            (Architecture::X86_64, KernelFamily::Other, _) => Self::Pc,
            (Architecture::X86_64, _, Accelerator::Tcg) if facts.tsc_khz.is_none() => Self::Q35,
            (Architecture::X86_64, _, _) => Self::Microvm,
        }
    }

    /// The end of a virtio device's name on this board's bus.
    pub(super) fn virtio_suffix(self) -> &'static str {
        if self.has_pci() { "pci" } else { "device" }
    }

    pub(super) fn has_pci(self) -> bool {
        match self {
            Self::Q35 | Self::Pc => true,
            Self::Microvm | Self::Virt => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Microvm => "microvm",
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Virt => "virt",
        }
    }
}

/// The arguments of QEMU, without the program.
pub fn render(spec: &MachineSpec, facts: &HostFacts) -> Vec<OsString> {
    let board = Board::choose(spec, facts);
    let mut arguments = Arguments::default();
    machine(&mut arguments, spec, facts, board);
    if facts.sandbox == Sandbox::On {
        arguments.option("-sandbox", SANDBOX);
    }
    if matches!(board, Board::Microvm | Board::Virt) {
        arguments.option("-global", "virtio-mmio.force-legacy=false");
    }
    arguments.path("-kernel", &spec.kernel);
    if let Some(initrd) = &spec.initrd {
        arguments.path("-initrd", initrd);
    }
    arguments.option("-append", &boot_arguments(spec, facts, board).to_string());
    devices::console(&mut arguments, &facts.console);
    devices::control(&mut arguments, facts.qmp_socket.as_deref());
    for disk in &spec.disks {
        devices::disk(&mut arguments, disk, board);
    }
    if let Some(card) = &spec.network {
        devices::network(&mut arguments, card, board);
    }
    devices::shares(&mut arguments, &spec.shares, &facts.agent_socket, board);
    if let (Some(agent), Some(channel)) = (&spec.agent, facts.channel) {
        devices::channel(&mut arguments, agent, channel, &facts.agent_socket, board);
    }
    arguments.0
}

fn machine(arguments: &mut Arguments, spec: &MachineSpec, facts: &HostFacts, board: Board) {
    let mut machine = board.name().to_owned();
    if board == Board::Virt {
        // The second version of the interrupt controller, the default, serves 8 CPUs.
        match facts.accelerator {
            Accelerator::Kvm => machine.push_str(",gic-version=host"),
            Accelerator::Tcg if spec.vcpus > 8 => machine.push_str(",gic-version=3"),
            Accelerator::Tcg => {}
        }
    }
    let shared = facts.channel == Some(ChannelKind::HelperVsock) || spec.shares.iter().any(virtiofs::serves);
    if shared {
        machine.push_str(",memory-backend=mem0");
    }
    arguments.option("-M", &machine);
    if shared {
        // The helper process reads and writes the guest's rings: the memory must be shareable.
        arguments
            .option("-object", &format!("memory-backend-memfd,id=mem0,size={}M,share=on", spec.memory_mib));
    }
    arguments.option("-accel", facts.accelerator.as_str());
    arguments.option("-cpu", cpu(board, facts.accelerator));
    arguments.option("-smp", &spec.vcpus.to_string());
    arguments.option("-m", &format!("{}M", spec.memory_mib));
    arguments.flags(&["-nodefaults", "-no-user-config"]);
    if board == Board::Pc {
        // With -nographic the firmware would write its own words on the guest's console.
        arguments.option("-display", "none");
    } else {
        arguments.flags(&["-nographic"]);
    }
    arguments.flags(&["-no-reboot"]);
}

fn cpu(board: Board, accelerator: Accelerator) -> &'static str {
    match (accelerator, board) {
        (Accelerator::Kvm, _) => "host",
        (Accelerator::Tcg, Board::Virt) => "cortex-a57",
        (Accelerator::Tcg, Board::Microvm | Board::Q35 | Board::Pc) => "max",
    }
}

/// The spec's boot arguments and what this machine needs beside them. What is there already wins.
fn boot_arguments(spec: &MachineSpec, facts: &HostFacts, board: Board) -> Cmdline {
    let mut cmdline = spec.cmdline.clone();
    if spec.family == KernelFamily::Other {
        return cmdline;
    }
    let console = if board == Board::Virt { "ttyAMA0" } else { "ttyS0" };
    cmdline.default_to("console", console);
    // With -no-reboot a restart ends QEMU, so a panic becomes an exit instead of a machine that hangs.
    cmdline.default_to("panic", "-1");
    if board != Board::Virt {
        cmdline.default_to("reboot", "t");
        if let (Accelerator::Tcg, Some(khz)) = (facts.accelerator, facts.tsc_khz) {
            cmdline.default_to("tsc_early_khz", &khz.to_string());
        }
    }
    if board == Board::Q35 && cmdline.get("pci") == Some("off") {
        // Written for boards without PCI; on this one it would hide every disk. Later values win in Linux.
        cmdline.push("pci", "conf1");
    }
    cmdline
}

/// Arguments in the making.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<OsString>);

impl Arguments {
    pub(super) fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(OsString::from));
    }

    pub(super) fn option(&mut self, name: &str, value: &str) {
        self.flags(&[name, value]);
    }

    /// An option whose whole value is a path: no option syntax, so nothing to escape.
    fn path(&mut self, name: &str, path: &Path) {
        self.0.push(name.into());
        self.0.push(path.into());
    }

    /// An option of QEMU's `key=value` list syntax with a path in the middle, its commas doubled.
    pub(super) fn with_path(&mut self, name: &str, before: &str, path: &Path, after: &str) {
        let mut value = OsString::from(before);
        value.push(escape_commas(path.as_os_str()));
        value.push(after);
        self.0.push(name.into());
        self.0.push(value);
    }
}

fn escape_commas(text: &OsStr) -> OsString {
    let bytes = text.as_bytes().iter().flat_map(|byte| {
        let copies = if *byte == b',' { 2 } else { 1 };
        std::iter::repeat_n(*byte, copies)
    });
    OsString::from_vec(bytes.collect())
}

#[cfg(test)]
mod tests;
