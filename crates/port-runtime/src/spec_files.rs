//! What only the files of a spec can tell: that they are there, and that they fit into the machine's memory.

use std::path::Path;

use port_content::fs;

use crate::error::RuntimeError;
use crate::machine_spec::{KernelFamily, MachineSpec};

const MIB: u64 = 1024 * 1024;
/// What Linux needs beside its own image and twice its initrd: page tables, per-CPU areas, first processes.
const LINUX_OVERHEAD_MIB: u64 = 24;
/// The first MiB is the firmware's, so no kernel has it.
const OTHER_OVERHEAD_MIB: u64 = 1;

/// Checks a spec and its files.
pub(crate) fn check(spec: &MachineSpec) -> Result<(), RuntimeError> {
    spec.check()?;
    let kernel = size("kernel", &spec.kernel)?;
    let initrd = spec.initrd.as_deref().map(|path| size("initrd", path)).transpose()?.unwrap_or(0);
    for disk in &spec.disks {
        size(&format!("disk `{}`", disk.id), &disk.path)?;
    }
    let needed_mib = match spec.family {
        // The initrd lies in memory twice, packed and unpacked, and unpacked it is never smaller.
        KernelFamily::Linux => (kernel + 2 * initrd).div_ceil(MIB) + LINUX_OVERHEAD_MIB,
        KernelFamily::Other => (kernel + initrd).div_ceil(MIB) + OTHER_OVERHEAD_MIB,
    };
    if u64::from(spec.memory_mib) < needed_mib {
        return Err(RuntimeError::MemoryTooSmall { memory_mib: spec.memory_mib, needed_mib });
    }
    Ok(())
}

/// The size of a component that a VMM will open: a regular file or, for a disk, a device.
fn size(role: &str, path: &Path) -> Result<u64, RuntimeError> {
    let component = |source| RuntimeError::Component { role: role.to_owned(), source };
    let metadata = fs::metadata(path).map_err(component)?;
    if metadata.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(component(port_content::FsError::new("use", path, source)));
    }
    Ok(metadata.len())
}
