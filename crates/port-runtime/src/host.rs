//! Facts about this host that cost nothing to read: no program is started here.

use std::path::Path;

use port_content::fs;
use port_model::Architecture;
use rustix::fs::Access;

mod tsc;

pub use tsc::tsc_khz;

/// Enough for `/proc/cpuinfo` of a host with hundreds of CPUs.
const PROC_LIMIT: u64 = 4 * 1024 * 1024;

/// The architecture this program was built for, which is the host's.
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURE: Architecture = Architecture::Aarch64;
/// The architecture this program was built for, which is the host's.
#[cfg(not(target_arch = "aarch64"))]
pub const ARCHITECTURE: Architecture = Architecture::X86_64;

/// The id that Linux draws at every boot, or nothing on other systems.
pub fn boot_id() -> String {
    read_small(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default().trim().to_owned()
}

/// The kernel's release, as `uname -r` prints it.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Whether this is a Linux host.
pub fn is_linux() -> bool {
    cfg!(target_os = "linux")
}

/// What stands between this process and a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceAccess {
    /// It can be opened for reading and writing.
    Usable,
    /// It is there, and this user may not open it.
    Denied,
    /// It is not there.
    Missing,
}

/// Whether this process may open a device.
pub fn device_access(path: &Path) -> DeviceAccess {
    match rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => DeviceAccess::Usable,
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => DeviceAccess::Denied,
        Err(_) => DeviceAccess::Missing,
    }
}

/// A short text of the kernel, or `None` where this kernel does not have it.
fn read_small(path: &Path) -> Option<String> {
    fs::read_to_string(path, PROC_LIMIT).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_usable_denied_or_missing() {
        assert_eq!(device_access(Path::new("/dev/null")), DeviceAccess::Usable);
        assert_eq!(device_access(Path::new("/dev/port-has-no-such-device")), DeviceAccess::Missing);
    }
}
