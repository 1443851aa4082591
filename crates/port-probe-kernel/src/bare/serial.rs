//! The first serial port, as every VMM has it, written to byte by byte.

use core::fmt;

use super::processor::{read_port, write_port};

const DATA: u16 = 0x3f8;
const LINE_STATUS: u16 = DATA + 5;
/// Of the line's status: there is room for a byte.
const READY: u8 = 0x20;
/// Of the line's status: the last byte is with the VMM, and not only with the port.
const SENT: u8 = 0x40;
/// About a second, since every look leaves the guest. A VMM on a busy host takes its time; a port that is never ready must not
/// hang the kernel.
const MOST_ROUNDS: u32 = 1_000_000;

/// The port. VMMs take bytes at any rate, so nothing is set up.
pub(crate) struct Serial {
    /// It was waited for in vain once, and is not again.
    is_dead: bool,
}

impl Serial {
    pub(crate) const fn new() -> Self {
        Self { is_dead: false }
    }

    fn wait_for(&mut self, status: u8) {
        let mut rounds = 0;
        while !self.is_dead && read_port(LINE_STATUS) & status == 0 {
            rounds += 1;
            self.is_dead = rounds == MOST_ROUNDS;
        }
    }

    fn put(&mut self, byte: u8) {
        self.wait_for(READY);
        write_port(DATA, byte);
    }

    /// Waits until all is sent: what is still with the port when the machine ends is lost.
    pub(crate) fn flush(&mut self) {
        self.wait_for(SENT);
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.put(b'\r');
            }
            self.put(byte);
        }
        Ok(())
    }
}
