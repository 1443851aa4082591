//! The probe kernel: entered by a VMM, it says over the first serial port what it was given, and ends the machine.
//!
//! Built for `x86_64-unknown-none` by `cargo xtask agent`, with `kernel.ld` as its place in memory. What it says and how it
//! reads memory is the library's; here is what only a machine has, unsafe code that no operating system stands below.
//!
//! Invariant: no interrupt, no heap, no other processor; whatever happens, it ends the machine.
#![no_std]
#![no_main]

mod bare;

use core::panic::PanicInfo;

use port_probe_kernel::Handover;

use bare::{physical, power, processor, serial::Serial};

/// Where the entry code goes on, on the first processor, in 64-bit mode, with all memory below 4 GiB mapped.
///
/// `protocol` is 0 for PVH, 1 for Linux; `information` is the address of what the VMM says.
#[expect(unsafe_code, reason = "the entry code calls it by this name")]
#[unsafe(no_mangle)]
extern "C" fn probe_main(protocol: u64, information: u64) -> ! {
    let handover = if protocol == 0 { Handover::Pvh(information) } else { Handover::Linux(information) };
    let hypervisor = processor::hypervisor();
    // The serial port takes everything, so there is no error.
    let mut serial = Serial::new();
    let _ = port_probe_kernel::report(&physical::Physical, handover, &hypervisor, &mut serial);
    serial.flush();
    power::off(&hypervisor)
}

/// A bug of the kernel is a line without an end mark, which the host takes for a failure.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    use core::fmt::Write as _;
    let mut serial = Serial::new();
    let _ = writeln!(serial, "probe: wrong: {info}");
    serial.flush();
    power::off(&[])
}
