//! What only a machine has: the entry code, physical memory, the serial port, the processor, and ways to end.
#![expect(
    unsafe_code,
    reason = "instructions and addresses that no library knows; each says why it is sound"
)]

pub(crate) mod physical;
pub(crate) mod power;
pub(crate) mod processor;
pub(crate) mod serial;

use core::arch::global_asm;

global_asm!(include_str!("bare/entry.s"), options(att_syntax));
