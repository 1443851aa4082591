//! A machine to boot, as pure data: what it is made of, never how a particular VMM spells it.
//!
//! Invariant: a spec that [`MachineSpec::check`] accepts can be rendered; whether its files exist and whether
//! the host can run it is the driver's to say.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::path::PathBuf;

use port_guest_protocol::MOST_VIRTIO_SERIAL_PORTS;
use port_model::{Architecture, Cmdline, CmdlineError};
use serde::{Deserialize, Serialize};

/// The port on which the agent listens in the guest (acceptance Pu-42).
pub const DEFAULT_CONTROL_PORT: u32 = 7000;
/// Context ids below this one are the hypervisor's and the host's.
pub const FIRST_GUEST_CID: u32 = 3;
/// No Linux with an initrd starts in less.
pub const LEAST_MEMORY_MIB: u32 = 32;
/// Kernels without a system around them do with this much, as kraft's machines do.
const LEAST_MEMORY_OF_OTHERS_MIB: u32 = 1;
/// What the machine models in use can interrupt for: more virtual CPUs or disks have no slot.
const MOST_VCPUS: u32 = 255;
const MOST_DISKS: usize = 16;

/// A machine to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// The guest's CPU architecture.
    pub architecture: Architecture,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// Guest memory, in MiB.
    pub memory_mib: u32,
    /// The kernel file.
    pub kernel: PathBuf,
    /// What kind of kernel it is.
    pub family: KernelFamily,
    /// The initial RAM file system.
    pub initrd: Option<PathBuf>,
    /// Boot arguments. For Linux a driver adds what it needs, and never overrides what is here; other kernels get these
    /// alone.
    pub cmdline: Cmdline,
    /// Disks in order: the first is `/dev/vda`.
    pub disks: Vec<Disk>,
    /// Directories of the host that the guest may mount.
    #[serde(default)]
    pub shares: Vec<Share>,
    /// The guest's network card; `None` for a guest without one.
    #[serde(default)]
    pub network: Option<NetworkCard>,
    /// How the guest agent is reached; `None` for a guest without one.
    pub agent: Option<AgentChannel>,
    /// Where the guest's console goes.
    pub console: Console,
}

/// What kind of kernel a machine boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelFamily {
    /// Linux: it is told its console and how to end.
    Linux,
    /// A unikernel or the like: whatever is added to its boot arguments may reach its program, and it may need the devices
    /// of an ordinary PC.
    Other,
}

/// One disk of a machine: a raw image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Names the disk in the VMM and as its serial number in the guest: lower case letters, digits, `-`.
    pub id: String,
    /// The image.
    pub path: PathBuf,
    /// What the guest may do to it.
    pub access: DiskAccess,
}

/// A directory of the host that a guest may mount. What it may do there is the host's to enforce: a guest's own `ro` binds nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// What the guest mounts it by: as a disk's id.
    pub tag: String,
    /// The directory.
    pub path: PathBuf,
    /// How it comes to the guest.
    #[serde(default)]
    pub way: ShareWay,
}

/// How a directory comes to a guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareWay {
    /// virtiofs, by a process of its own.
    #[default]
    Virtiofs,
    /// 9p, by the VMM itself: what unikernels read.
    NineP {
        /// Whether the VMM refuses to write.
        read_only: bool,
    },
}

/// A guest's network card, by its other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkCard {
    /// A device of the host.
    Tap(Tap),
    /// A network within the VMM, which reaches nothing: ports of the host's loopback address alone lead to the guest.
    Published(Vec<PublishedPort>),
}

/// A port of the host's loopback address that leads to one of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedPort {
    /// By which protocol.
    pub protocol: TransportProtocol,
    /// On the host.
    pub host: NonZeroU16,
    /// In the guest.
    pub guest: NonZeroU16,
}

/// What carries a published port's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A network card whose other end is a tap device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// The device's name, as `ip link` shows it.
    pub device: String,
    /// The card's address, as six pairs of hexadecimal digits.
    pub mac: String,
}

/// What a guest may do to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskAccess {
    /// Writes fail in the guest.
    ReadOnly,
    /// Writes go to the image.
    ReadWrite,
    /// Writes succeed in the guest and are gone with the machine; the image stays as it is.
    Ephemeral,
}

/// How the guest agent is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentChannel {
    /// The guest's vsock context id.
    pub vsock_cid: u32,
    /// The vsock port of the agent.
    pub control_port: u32,
    /// Insists on one way; `None` takes the best that the host has.
    pub only: Option<ChannelKind>,
    /// How many other processes may ask the agent at once, where the way is one stream for all of a process's requests.
    #[serde(default)]
    pub side_ports: u8,
}

impl Default for AgentChannel {
    fn default() -> Self {
        Self { vsock_cid: FIRST_GUEST_CID, control_port: DEFAULT_CONTROL_PORT, only: None, side_ports: 0 }
    }
}

/// The ways to a guest agent, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// The host kernel's vsock, through `/dev/vhost-vsock`: requests run side by side.
    KernelVsock,
    /// A virtio-serial port on a Unix socket: one stream, requests wait for each other.
    VirtioSerial,
    /// vsock through a socket of the VMM's own, as Firecracker and Cloud Hypervisor have it.
    VmmVsock,
    /// vsock through the helper process `vhost-device-vsock`: only when insisted on, see `channel`.
    HelperVsock,
}

/// Where a guest's console goes. Whatever is chosen, its end is kept for errors.
///
/// A terminal is deliberately not a choice: the VMM is in a process group of its own, which may not read a
/// terminal. Whoever has a terminal joins it to [`Console::Stream`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Console {
    /// Nowhere.
    Discard,
    /// Into this file, started afresh.
    Log(PathBuf),
    /// To whoever takes it from the running machine, which must read it to the end.
    Stream,
}

/// A machine that no driver could boot.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// A number out of its range.
    #[error("{what} is {found}: expected {expected}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// As given.
        found: u64,
        /// The range, in words.
        expected: String,
    },
    /// A tag that the guest or the VMM could misread.
    #[error("`{0}` is not the tag of a share: expected 1 to 20 lower case letters, digits and `-`")]
    ShareTag(String),
    /// A network device that the host cannot have.
    #[error("`{0}` is not a network device: expected 1 to 15 letters, digits, `.`, `_` and `-`")]
    Device(String),
    /// A disk id that the guest or the VMM could misread.
    #[error("`{0}` is not a disk id: expected 1 to 20 lower case letters, digits and `-`")]
    DiskId(String),
    /// Two disks of one name.
    #[error("two disks have the id `{0}`")]
    DuplicateDisk(String),
    /// The boot arguments.
    #[error("the boot arguments cannot be used")]
    Cmdline(#[from] CmdlineError),
}

impl MachineSpec {
    /// Checks all that can be checked without looking at the host.
    ///
    /// # Errors
    /// [`SpecError`], naming the first thing that is wrong.
    pub fn check(&self) -> Result<(), SpecError> {
        in_range("the number of virtual CPUs", self.vcpus, 1, MOST_VCPUS)?;
        let least = match self.family {
            KernelFamily::Linux => LEAST_MEMORY_MIB,
            KernelFamily::Other => LEAST_MEMORY_OF_OTHERS_MIB,
        };
        in_range("the guest's memory in MiB", self.memory_mib, least, u32::MAX)?;
        if let Some(agent) = &self.agent {
            in_range("the guest's vsock context id", agent.vsock_cid, FIRST_GUEST_CID, u32::MAX - 1)?;
            in_range("the agent's control port", agent.control_port, 1, u32::MAX - 1)?;
            let most = u32::from(MOST_VIRTIO_SERIAL_PORTS) - 1;
            in_range("the number of the agent's side ports", agent.side_ports.into(), 0, most)?;
        }
        self.check_disks()?;
        if let Some(share) = self.shares.iter().find(|share| !is_disk_id(&share.tag)) {
            return Err(SpecError::ShareTag(share.tag.clone()));
        }
        if let Some(NetworkCard::Tap(tap)) = &self.network
            && !is_device(&tap.device)
        {
            return Err(SpecError::Device(tap.device.clone()));
        }
        Ok(self.cmdline.check()?)
    }

    fn check_disks(&self) -> Result<(), SpecError> {
        if self.disks.len() > MOST_DISKS {
            let expected = format!("at most {MOST_DISKS}");
            return Err(SpecError::OutOfRange {
                what: "the number of disks",
                found: self.disks.len() as u64,
                expected,
            });
        }
        let mut seen = BTreeSet::new();
        for disk in &self.disks {
            if !is_disk_id(&disk.id) {
                return Err(SpecError::DiskId(disk.id.clone()));
            }
            if !seen.insert(&disk.id) {
                return Err(SpecError::DuplicateDisk(disk.id.clone()));
            }
        }
        Ok(())
    }
}

fn in_range(what: &'static str, found: u32, least: u32, most: u32) -> Result<(), SpecError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(SpecError::OutOfRange { what, found: found.into(), expected: format!("{least} to {most}") })
}

/// 20 bytes is what a virtio-blk serial number holds.
fn is_disk_id(id: &str) -> bool {
    (1..=20).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// 15 bytes is what the kernel keeps of a network device's name.
fn is_device(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=15).contains(&name.len()) && name.chars().all(plain)
}

impl std::fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KernelVsock => "vsock (/dev/vhost-vsock)",
            Self::VmmVsock => "vsock (the VMM's socket)",
            Self::HelperVsock => "vsock (vhost-device-vsock)",
            Self::VirtioSerial => "virtio-serial",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The machine of the acceptance's sample (Pu-9), with the image's paths shortened.
    pub(crate) fn sample() -> MachineSpec {
        MachineSpec {
            architecture: Architecture::X86_64,
            vcpus: 2,
            memory_mib: 512,
            kernel: "/images/vmlinux".into(),
            family: KernelFamily::Linux,
            initrd: Some("/images/initrd.cpio.gz".into()),
            cmdline: Cmdline::parse("console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw").unwrap(),
            disks: vec![Disk {
                id: "root".into(),
                path: "/images/rootfs.ext4".into(),
                access: DiskAccess::ReadWrite,
            }],
            shares: Vec::new(),
            network: None,
            agent: Some(AgentChannel::default()),
            console: Console::Discard,
        }
    }

    #[test]
    fn pu_9_the_sample_machine_is_accepted() {
        assert_eq!(sample().check(), Ok(()));
        assert_eq!(sample().agent.unwrap().control_port, 7000);
    }

    #[test]
    fn what_no_driver_could_boot_is_refused_by_name() {
        type Change = fn(&mut MachineSpec);
        let cases: [(Change, &str); 8] = [
            (
                |s| s.shares.push(Share { tag: "a b".into(), path: "/a".into(), way: ShareWay::default() }),
                "`a b` is not the tag of a share: expected 1 to 20 lower case letters, digits and `-`",
            ),
            (
                |s| {
                    let mac = "02:00:00:00:00:01".into();
                    s.network = Some(NetworkCard::Tap(Tap { device: "a,b".into(), mac }));
                },
                "`a,b` is not a network device: expected 1 to 15 letters, digits, `.`, `_` and `-`",
            ),
            (|s| s.vcpus = 0, "the number of virtual CPUs is 0: expected 1 to 255"),
            (|s| s.memory_mib = 4, "the guest's memory in MiB is 4: expected 32 to 4294967295"),
            (
                |s| s.disks[0].id = "a,b".into(),
                "`a,b` is not a disk id: expected 1 to 20 lower case letters, digits and `-`",
            ),
            (|s| s.disks.push(s.disks[0].clone()), "two disks have the id `root`"),
            (
                |s| s.agent.as_mut().unwrap().vsock_cid = 2,
                "the guest's vsock context id is 2: expected 3 to 4294967294",
            ),
            (
                |s| (0..200).for_each(|_| s.cmdline.push("padding", "0123456789")),
                "the boot arguments cannot be used",
            ),
        ];
        for (change, expected) in cases {
            let mut spec = sample();
            change(&mut spec);
            assert_eq!(spec.check().unwrap_err().to_string(), expected);
        }
    }
}
