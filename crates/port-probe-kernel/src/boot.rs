//! What a VMM handed over: read from memory by the PVH protocol or by Linux's 64-bit boot protocol, said as a transcript.
//!
//! PVH: Xen's `hvm_start_info` (xen/include/public/arch-x86/hvm/start_info.h), whose address is in `ebx`.
//! Linux: `struct boot_params` (Documentation/arch/x86/boot.rst, "zero page"), whose address is in `rsi`.

use core::fmt::{self, Write};

use crate::checksum::{Checksum, MOST};
use crate::memory::Memory;
use crate::transcript::{BEGIN, END};

const START_INFO_MAGIC: u32 = 0x336e_c578;
/// "HdrS", at the place where the setup header has it.
const SETUP_MAGIC: u32 = 0x5372_6448;
/// More regions than any VMM describes; the zero page has room for as many.
const MOST_REGIONS: u64 = 128;
/// `COMMAND_LINE_SIZE` of Linux.
const MOST_COMMAND_LINE: u64 = 2048;
/// RAM, in both protocols.
const USABLE: u32 = 1;

/// How the kernel was entered, and where the VMM's words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// PVH: the address of `hvm_start_info`.
    Pvh(u64),
    /// Linux's 64-bit boot protocol: the address of the zero page.
    Linux(u64),
}

/// Where things are, whatever the protocol.
struct Layout {
    command_line: u64,
    initrd: Option<(u64, u64)>,
    /// The first region, the number of regions, and the distance between them.
    regions: (u64, u64, u64),
}

/// Writes the transcript: what the VMM handed over, as seen in `memory`. `hypervisor` is the signature in `cpuid`.
///
/// # Errors
/// Only those of `out`.
pub fn report(
    memory: &impl Memory,
    handover: Handover,
    hypervisor: &[u8],
    out: &mut impl Write,
) -> fmt::Result {
    // Firmware may have left its last line open.
    write!(out, "\n{BEGIN}\n")?;
    write!(out, "probe: hypervisor ")?;
    text(out, hypervisor.iter().copied().take_while(|byte| *byte != 0))?;
    let layout = match handover {
        Handover::Pvh(address) => {
            writeln!(out, "probe: protocol pvh at {address:#x}")?;
            pvh(memory, address)
        }
        Handover::Linux(address) => {
            writeln!(out, "probe: protocol linux at {address:#x}")?;
            linux(memory, address)
        }
    };
    match layout {
        Some(layout) => contents(memory, &layout, out)?,
        None => writeln!(out, "probe: wrong: there is no information of this protocol")?,
    }
    writeln!(out, "{END}")
}

fn pvh(memory: &impl Memory, at: u64) -> Option<Layout> {
    if memory.word(at)? != START_INFO_MAGIC {
        return None;
    }
    let version = memory.word(at.checked_add(4)?)?;
    let modules = memory.word(at.checked_add(12)?)?;
    let list = memory.long(at.checked_add(16)?)?;
    let command_line = memory.long(at.checked_add(24)?)?;
    let initrd =
        if modules > 0 { Some((memory.long(list)?, memory.long(list.checked_add(8)?)?)) } else { None };
    // The memory map came with version 1.
    let regions = if version >= 1 {
        let count = memory.word(at.checked_add(48)?)?;
        (memory.long(at.checked_add(40)?)?, u64::from(count), 24)
    } else {
        (0, 0, 24)
    };
    Some(Layout { command_line, initrd, regions })
}

fn linux(memory: &impl Memory, at: u64) -> Option<Layout> {
    if memory.word(at.checked_add(0x202)?)? != SETUP_MAGIC {
        return None;
    }
    // Each address and size has its high half elsewhere.
    let wide = |low: u64, high: u64| {
        let low = memory.word(at.checked_add(low)?)?;
        let high = memory.word(at.checked_add(high)?)?;
        Some(u64::from(high) << 32 | u64::from(low))
    };
    let (initrd, size) = (wide(0x218, 0xc0)?, wide(0x21c, 0xc4)?);
    let count = memory.byte(at.checked_add(0x1e8)?)?;
    Some(Layout {
        command_line: wide(0x228, 0xc8)?,
        initrd: (size > 0).then_some((initrd, size)),
        regions: (at.checked_add(0x2d0)?, u64::from(count), 20),
    })
}

fn contents(memory: &impl Memory, layout: &Layout, out: &mut impl Write) -> fmt::Result {
    write!(out, "probe: cmdline ")?;
    let at = layout.command_line;
    let line = (0..MOST_COMMAND_LINE).map_while(|offset| memory.byte(at.checked_add(offset)?));
    let is_there = at != 0;
    text(out, line.take_while(|byte| is_there && *byte != 0))?;
    regions(memory, layout.regions, out)?;
    let Some((address, size)) = layout.initrd else { return writeln!(out, "probe: initrd none") };
    match sum(memory, address, size) {
        Some(sum) => writeln!(out, "probe: initrd at {address:#x} bytes {size} crc32 {sum:08x}"),
        None => writeln!(out, "probe: wrong: the initrd at {address:#x} cannot be read"),
    }
}

fn regions(
    memory: &impl Memory,
    (first, count, distance): (u64, u64, u64),
    out: &mut impl Write,
) -> fmt::Result {
    let mut usable = 0u64;
    for index in 0..count.min(MOST_REGIONS) {
        let region = || {
            let at = first.checked_add(index.checked_mul(distance)?)?;
            Some((memory.long(at)?, memory.long(at.checked_add(8)?)?, memory.word(at.checked_add(16)?)?))
        };
        let Some((address, size, kind)) = region() else {
            return writeln!(out, "probe: wrong: the memory map cannot be read");
        };
        if kind == USABLE {
            usable = usable.saturating_add(size);
        }
        writeln!(out, "probe: region at {address:#x} bytes {size} type {kind}")?;
    }
    writeln!(out, "probe: memory bytes {usable}")
}

fn sum(memory: &impl Memory, address: u64, size: u64) -> Option<u32> {
    let mut checksum = Checksum::default();
    let mut buffer = [0; 256];
    let (mut at, mut left) = (address, size.min(MOST));
    while left > 0 {
        let length = left.min(256);
        let piece = buffer.get_mut(..usize::try_from(length).ok()?)?;
        memory.read(at, piece)?;
        checksum.update(piece);
        (at, left) = (at.checked_add(length)?, left - length);
    }
    Some(checksum.finish())
}

/// A line's text and its end. What is no printable ASCII could fake a line of its own.
fn text(out: &mut impl Write, bytes: impl Iterator<Item = u8>) -> fmt::Result {
    for byte in bytes {
        let shown = if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '?' };
        out.write_char(shown)?;
    }
    out.write_char('\n')
}

#[cfg(test)]
mod tests;
