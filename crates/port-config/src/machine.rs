//! A machine as configured: a kernel, a guest image and how to boot them (acceptance Pu-9).

use std::path::PathBuf;

use port_model::{Cmdline, Variant};
use serde::Serialize;

/// Virtual CPUs unless the file says otherwise.
pub const DEFAULT_VCPU_COUNT: u32 = 2;
/// Memory in MiB unless the file says otherwise.
pub const DEFAULT_MEMORY_MIB: u32 = 512;
/// The smallest memory in MiB with which a Linux guest reaches its init.
pub const SMALLEST_MEMORY_MIB: u32 = 32;
/// The first vsock address that a guest may have: 0 to 2 are the hypervisor's, local and the host's.
pub const SMALLEST_GUEST_CID: u32 = 3;
/// The vsock port on which the guest agent listens (acceptance Pu-42).
pub const DEFAULT_CONTROL_PORT: u32 = 7000;

/// One `[machines.<name>]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The key in the file.
    pub name: String,
    /// The kernel artifact; it exists and has variants.
    pub kernel: String,
    /// The guest-image artifact; it exists and has variants.
    pub guest_image: String,
    /// Which variant of both; `native` was resolved. Whether both have it is asked when it boots.
    pub variant: Variant,
    /// The host it is meant for, kept from published files; unused.
    pub host: Option<String>,
    /// Virtual CPUs, at least one.
    pub vcpu_count: u32,
    /// Memory in MiB, at least [`SMALLEST_MEMORY_MIB`].
    pub memory_mib: u32,
    /// Boot arguments as configured; drivers add what they need.
    pub kernel_args: Cmdline,
    /// Whether the guest sees its root disk as read-only.
    pub rootfs_read_only: bool,
    /// Where the guest's writes go.
    pub rootfs_overlay: RootfsOverlay,
    /// At most one more disk.
    pub volumes: Vec<Volume>,
    /// How the host reaches the guest.
    pub guest: GuestSettings,
}

/// Where a guest's writes to its root go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RootfsOverlay {
    /// To the root disk itself.
    #[default]
    None,
    /// To the guest's memory.
    Tmpfs,
    /// To a second disk.
    Disk,
}

impl RootfsOverlay {
    /// The words of the file.
    pub const WORDS: &'static [&'static str] = &["none", "tmpfs", "disk"];

    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tmpfs => "tmpfs",
            Self::Disk => "disk",
        }
    }
}

/// One more disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The image file, as written.
    pub path: PathBuf,
    /// Whether the guest sees it as read-only.
    pub read_only: bool,
}

/// The `guest` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestSettings {
    /// The guest's vsock address, at least [`SMALLEST_GUEST_CID`].
    pub vsock_cid: u32,
    /// The vsock port of the guest agent.
    pub control_port: u32,
    /// Where the console is written, as written.
    pub console_log: Option<PathBuf>,
}

impl Default for GuestSettings {
    fn default() -> Self {
        Self { vsock_cid: SMALLEST_GUEST_CID, control_port: DEFAULT_CONTROL_PORT, console_log: None }
    }
}
