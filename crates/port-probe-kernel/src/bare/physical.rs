//! Physical memory below 4 GiB, which the entry code mapped one to one.

use port_probe_kernel::memory::Memory;

/// What the entry code mapped.
const MAPPED: u64 = 1 << 32;

/// All of it.
pub(crate) struct Physical;

impl Memory for Physical {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        let length = u64::try_from(buffer.len()).ok()?;
        if address == 0 || address.checked_add(length)? > MAPPED {
            return None;
        }
        for (offset, byte) in (0..).zip(buffer) {
            // SAFETY: the address is below MAPPED, so it is mapped; where no RAM is, a VMM gives ones. Nobody else writes
            // to memory: there is one processor and no interrupt. Volatile, since the compiler knows of no object there.
            *byte = unsafe { core::ptr::read_volatile((address + offset) as *const u8) };
        }
        Some(())
    }
}
