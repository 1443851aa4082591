//! Instructions: ports, the hypervisor's signature, the time stamp counter.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc};

/// Of `cpuid`: a guest may ask for the hypervisor's signature.
const IS_GUEST: u32 = 1 << 31;

/// The hypervisor's signature, or zeros.
pub(crate) fn hypervisor() -> [u8; 12] {
    let mut signature = [0; 12];
    if __cpuid(1).ecx & IS_GUEST != 0 {
        let found = __cpuid(0x4000_0000);
        let bytes = [found.ebx, found.ecx, found.edx].into_iter().flat_map(u32::to_le_bytes);
        signature.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }
    signature
}

/// Writes to a port.
pub(crate) fn write_port(port: u16, value: u8) {
    // SAFETY: the ports in use are the serial line's and those that end the machine; none changes memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

/// Reads from a port.
pub(crate) fn read_port(port: u16) -> u8 {
    let value: u8;
    // SAFETY: as for writing.
    unsafe { asm!("in al, dx", out("al") value, in("dx") port, options(nomem, nostack, preserves_flags)) }
    value
}

/// Lets about this much of the time stamp counter pass.
pub(crate) fn wait(ticks: u64) {
    // SAFETY: every processor that has 64-bit mode has the counter.
    let now = || unsafe { _rdtsc() };
    let begin = now();
    while now().wrapping_sub(begin) < ticks {
        core::hint::spin_loop();
    }
}

/// Ends in a triple fault: an exception without any handler.
pub(crate) fn fault() -> ! {
    let nothing = [0u16; 5];
    // SAFETY: it never comes back, which is what it is for.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) nothing.as_ptr(), options(noreturn)) }
}
