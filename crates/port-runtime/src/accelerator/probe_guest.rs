//! The smallest guests that tell a hypervisor which runs guests from one which merely opens.
//!
//! Each counts down from [`ROUNDS`] and ends its VMM with a known exit status. Real hardware virtualization
//! is through in a few hundredths of a second. A KVM that interprets foreign guests (the PVM host module does)
//! manages under a million instructions a second, and gives up on some instructions; it is never through
//! within the probe's time.
//!
//! x86: a 32-bit ELF with the Xen note 18 (PVH entry), which QEMU starts in flat protected mode.
//! aarch64: a raw Linux `Image` header with a branch to the code behind it.

use port_model::Architecture;

/// Rounds of the loop, of two instructions each.
const ROUNDS: u32 = 20_000_000;
/// Where the x86 guest lies in memory: the first MiB is the firmware's.
const BASE: u32 = 0x10_0000;
const ELF_HEADER: u32 = 52;
const PROGRAM_HEADER: u32 = 32;
const NOTE: u32 = 20;
/// Behind the ELF header, two program headers, and the note.
const CODE: u32 = ELF_HEADER + 2 * PROGRAM_HEADER + NOTE;

/// A guest and the exit status with which QEMU ends when it got through.
#[derive(Debug)]
pub(super) struct ProbeGuest {
    pub(super) image: Vec<u8>,
    pub(super) passed: i32,
}

/// The probe of an architecture.
pub(super) fn probe_guest(architecture: Architecture) -> ProbeGuest {
    match architecture {
        // The debug-exit device makes 2 n + 1 of the 21 that is written to it.
        Architecture::X86_64 => ProbeGuest { image: x86_64(), passed: 43 },
        // PSCI's SYSTEM_OFF is a clean end.
        Architecture::Aarch64 => ProbeGuest { image: aarch64(), passed: 0 },
    }
}

fn x86_64() -> Vec<u8> {
    pvh_elf(&x86_64_code())
}

/// Where [`pvh_elf`] puts its code in memory.
pub(crate) const CODE_ADDRESS: u32 = BASE + CODE;

/// A 32-bit ELF that QEMU starts at the beginning of `code`.
pub(crate) fn pvh_elf(code: &[u8]) -> Vec<u8> {
    let size = CODE + u32::try_from(code.len()).unwrap_or(0);
    let mut image = Vec::new();
    // e_ident: 32-bit, little endian, version 1.
    image.extend(b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
    halves(&mut image, &[2, 3]); // e_type: executable; e_machine: 386
    words(&mut image, &[1, CODE_ADDRESS, ELF_HEADER, 0, 0]); // version, entry, program headers, no sections, flags
    halves(&mut image, &[52, 32, 2, 40, 0, 0]); // sizes and counts
    // PT_LOAD of the whole file, readable, writable and executable; then PT_NOTE.
    words(&mut image, &[1, 0, BASE, BASE, size, size, 7, 4096]);
    let note = ELF_HEADER + 2 * PROGRAM_HEADER;
    words(&mut image, &[4, note, BASE + note, BASE + note, NOTE, NOTE, 4, 4]);
    // Name size, value size, type XEN_ELFNOTE_PHYS32_ENTRY, name, the entry point.
    words(&mut image, &[4, 4, 18]);
    image.extend(b"Xen\0");
    words(&mut image, &[CODE_ADDRESS]);
    image.extend(code);
    image
}

fn x86_64_code() -> Vec<u8> {
    let mut code = vec![0xb9]; // mov ecx, ROUNDS
    words(&mut code, &[ROUNDS]);
    code.extend([0x49]); // dec ecx
    code.extend([0x75, 0xfd]); // jnz to the dec
    code.extend([0x31, 0xc0, 0x0f, 0xa2]); // xor eax, eax; cpuid
    // lock cmpxchg8b on the ELF header's first bytes: the family of instructions on which an emulator gives up.
    code.extend([0xf0, 0x0f, 0xc7, 0x0d]);
    words(&mut code, &[BASE]);
    code.extend([0xb0, 21, 0xe6, 0xf4]); // mov al, 21; out 0xf4, al
    code.extend([0xf4, 0xeb, 0xfd]); // hlt; jump to the hlt
    code
}

fn aarch64() -> Vec<u8> {
    let mut image = Vec::new();
    words(&mut image, &[0x1400_0010, 0]); // b to offset 64; reserved
    // text_offset, image_size, flags (little endian, 4 KiB pages, anywhere), each of 64 bits, and three reserved.
    words(&mut image, &[0, 0, 4096, 0, 0b1010, 0, 0, 0, 0, 0, 0, 0]);
    image.extend(b"ARM\x64");
    words(&mut image, &[0]);
    let low = ROUNDS & 0xffff;
    let high = ROUNDS >> 16;
    words(
        &mut image,
        &[
            0x5280_0001 | low << 5,  // movz w1, low
            0x72a0_0001 | high << 5, // movk w1, high, lsl 16
            0x7100_0421,             // subs w1, w1, 1
            0x54ff_ffe1,             // b.ne to the subs
            0x5280_0100,             // movz w0, 8
            0x72b0_8000,             // movk w0, 0x8400, lsl 16: PSCI SYSTEM_OFF
            0xd400_0002,             // hvc 0
            0x1400_0000,             // b to itself
        ],
    );
    image
}

fn words(image: &mut Vec<u8>, values: &[u32]) {
    image.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn halves(image: &mut Vec<u8>, values: &[u16]) {
    image.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_x86_headers_lead_to_the_code() {
        let image = x86_64();
        let word = |offset: usize| u32::from_le_bytes(image[offset..offset + 4].try_into().unwrap());
        assert_eq!(word(24), BASE + CODE, "entry");
        assert_eq!(image[CODE as usize], 0xb9, "the code begins where the headers say");
        assert_eq!(word(52 + 16), image.len() as u32, "the load covers the file");
        let note = word(52 + 32 + 4) as usize;
        assert_eq!((word(note + 8), &image[note + 12..note + 16]), (18, &b"Xen\0"[..]));
        assert_eq!(word(note + 16), BASE + CODE, "the note's entry");
    }

    #[test]
    fn the_aarch64_header_is_that_of_an_image() {
        let image = aarch64();
        assert_eq!(&image[56..60], b"ARM\x64");
        assert_eq!(image.len(), 64 + 8 * 4);
    }
}
