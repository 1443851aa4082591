//! What the probe kernel finds out, and how it says it: pure, so that it is tested where it cannot boot.
//!
//! ```text
//! VMM ─► handover (PVH or Linux boot protocol) ─► boot: what memory holds ─► transcript ─► serial line ─► host: parse
//! ```
//!
//! The kernel is Port's own guest for finding out whether a VMM boots anything here: it needs no disk, no root file system and
//! some ten thousand instructions. The binary of this crate adds what only a machine has: the entry, the serial line, the
//! way to end (`bare/`). Not here: how the host starts it (`port-runtime`).
//!
//! Invariant: what a VMM hands over is read with limits and never trusted; a wrong pointer makes a line that says so.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod boot;
pub mod checksum;
pub mod memory;
pub mod transcript;

pub use boot::{Handover, report};
pub use transcript::{Initrd, Transcript};
