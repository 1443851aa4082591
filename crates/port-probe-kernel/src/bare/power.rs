//! Ways to end the machine. Every VMM has one of its own, and what ends one may restart or upset another, hence the order.

use super::processor::{fault, wait, write_port};

/// QEMU's translator, in `cpuid`.
const EMULATED: &[u8] = b"TCGTCGTCGTCG";
/// Cloud Hypervisor's ACPI shutdown register: sleep enable, and sleep type 5. Nobody else listens there.
const ACPI_SHUTDOWN: (u16, u8) = (0x600, 0x34);
/// The keyboard controller's reset line: Firecracker's way to end. Cloud Hypervisor would start the machine anew.
const KEYBOARD_RESET: (u16, u8) = (0x64, 0xfe);
/// A VMM ends its guest from another thread: some milliseconds, in ticks of the time stamp counter.
const A_MOMENT: u64 = 50_000_000;
/// Whoever is to end has ended, even on a busy host.
const LONG: u64 = 2_000_000_000;

/// Ends the machine.
pub(crate) fn off(hypervisor: &[u8]) -> ! {
    if hypervisor != EMULATED {
        write_port(ACPI_SHUTDOWN.0, ACPI_SHUTDOWN.1);
        wait(A_MOMENT);
        write_port(KEYBOARD_RESET.0, KEYBOARD_RESET.1);
        wait(LONG);
    }
    // QEMU ends its guest's restart with `-no-reboot`.
    fault()
}
