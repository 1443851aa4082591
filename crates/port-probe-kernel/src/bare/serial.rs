//! The first serial port, as every VMM has it, written to byte by byte.

use core::fmt;

use super::processor::{read_port, write_port};

const DATA: u16 = 0x3f8;
const LINE_STATUS: u16 = DATA + 5;
/// Of the line's status: there is room for a byte.
const READY: u8 = 0x20;
/// Then the byte is written all the same: a port that is never ready must not hang the kernel.
const MOST_ROUNDS: u32 = 10_000;

/// The port. VMMs take bytes at any rate, so nothing is set up.
pub(crate) struct Serial;

impl Serial {
    fn put(byte: u8) {
        let mut rounds = 0;
        while read_port(LINE_STATUS) & READY == 0 && rounds < MOST_ROUNDS {
            rounds += 1;
        }
        write_port(DATA, byte);
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                Self::put(b'\r');
            }
            Self::put(byte);
        }
        Ok(())
    }
}
