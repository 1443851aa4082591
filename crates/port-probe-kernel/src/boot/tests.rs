//! Hand-made memory of both protocols, and memory that lies.

use std::string::{String, ToString as _};
use std::vec::Vec;

use super::*;
use crate::transcript::Transcript;

/// Memory from address 0 on.
struct Bytes(Vec<u8>);

impl Memory for Bytes {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        let start = usize::try_from(address).ok()?;
        buffer.copy_from_slice(self.0.get(start..start.checked_add(buffer.len())?)?);
        Some(())
    }
}

impl Bytes {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn pvh_memory() -> Bytes {
    let mut memory = Bytes(std::vec![0; 0x4000]);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    // magic, version, flags, modules; module list; command line; rsdp; memory map; its entries.
    memory.put(0x100, &words(&[0x336e_c578, 1, 0, 1, 0x200, 0, 0x300, 0, 0, 0, 0x400, 0, 2, 0]));
    memory.put(0x200, &words(&[0x1000, 0, 9, 0]));
    memory.put(0x300, b"console=ttyS0 a=\"b c\"\n\0more");
    memory.put(0x400, &words(&[0, 0, 0x9_fc00, 0, 1, 0]));
    memory.put(0x418, &words(&[0xf_0000, 0, 0x1_0000, 0, 2, 0]));
    memory.put(0x1000, b"123456789");
    memory
}

fn said(memory: &Bytes, handover: Handover) -> String {
    let mut out = String::new();
    report(memory, handover, b"KVMKVMKVM\0\0\0", &mut out).unwrap();
    out
}

#[test]
fn a_pvh_handover_is_told_line_by_line() {
    let expected = "
PORT-PROBE 1
probe: hypervisor KVMKVMKVM
probe: protocol pvh at 0x100
probe: cmdline console=ttyS0 a=\"b c\"?
probe: region at 0x0 bytes 654336 type 1
probe: region at 0xf0000 bytes 65536 type 2
probe: memory bytes 654336
probe: initrd at 0x1000 bytes 9 crc32 cbf43926
PORT-PROBE END
";
    let found = said(&pvh_memory(), Handover::Pvh(0x100));
    assert_eq!(found, expected);
    assert_eq!(Transcript::parse(&found).unwrap().memory, 654_336);
}

#[test]
fn a_linux_handover_says_the_same() {
    let mut memory = Bytes(std::vec![0; 0x4000]);
    let page = 0x800;
    memory.put(page + 0x202, b"HdrS");
    memory.put(page + 0x218, &0x1000u32.to_le_bytes());
    memory.put(page + 0x21c, &9u32.to_le_bytes());
    memory.put(page + 0x228, &0x300u32.to_le_bytes());
    memory.put(page + 0x1e8, &[1]);
    memory.put(page + 0x2d0 + 8, &(64u64 << 20).to_le_bytes());
    memory.put(page + 0x2d0 + 16, &[1]);
    memory.put(0x300, b"quiet\0");
    memory.put(0x1000, b"123456789");
    let found = said(&memory, Handover::Linux(0x800));
    let transcript = Transcript::parse(&found).unwrap();
    assert_eq!((transcript.protocol, transcript.cmdline), ("linux", "quiet"));
    assert_eq!(transcript.memory, 64 << 20);
    assert_eq!(transcript.initrd.map(|initrd| (initrd.bytes, initrd.crc32)), Some((9, 0xcbf4_3926)));
}

#[test]
fn what_a_vmm_got_wrong_is_a_line_and_never_a_crash() {
    type Change = fn(&mut Bytes);
    let cases: [(Change, &str); 4] = [
        (|m| m.put(0x100, &[0]), "there is no information of this protocol"),
        (|m| m.put(0x110, &[0xff; 8]), "there is no information of this protocol"),
        (|m| m.put(0x128, &[0xff; 8]), "the memory map cannot be read"),
        (|m| m.put(0x200, &[0xff; 8]), "the initrd at 0xffffffffffffffff cannot be read"),
    ];
    for (change, expected) in cases {
        let mut memory = pvh_memory();
        change(&mut memory);
        let found = said(&memory, Handover::Pvh(0x100));
        assert!(found.contains(expected) && found.ends_with("PORT-PROBE END\n"), "{found}");
        assert!(Transcript::parse(&found).unwrap_err().to_string().contains(expected), "{found}");
    }
}

#[test]
fn without_an_initrd_or_a_command_line_that_is_said() {
    let mut memory = pvh_memory();
    memory.put(0x10c, &[0]);
    memory.put(0x118, &[0; 8]);
    let found = said(&memory, Handover::Pvh(0x100));
    let transcript = Transcript::parse(&found).unwrap();
    assert_eq!((transcript.cmdline, transcript.initrd), ("", None));
}
