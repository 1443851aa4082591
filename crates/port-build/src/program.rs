//! What an ELF program needs to run: its architecture, its interpreter and its libraries.
//!
//! `ldd` would run the program and knows only this machine's architecture; the file itself says it all.
//! Every number in the file is hostile until checked, and the file is read whole but bounded.

use port_model::Architecture;

/// `e_machine`, ELF specification.
const X86_64: u16 = 62;
const AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
/// The most entries of a table that are read. Programs have about ten segments and forty dynamic entries.
const MOST_ENTRIES: usize = 4096;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// What it runs on.
    pub(crate) architecture: Architecture,
    /// The dynamic loader; `None` where the program is static.
    pub(crate) interpreter: Option<String>,
    /// The libraries that it names, in its order.
    pub(crate) needed: Vec<String>,
    /// Where it says they are (`DT_RUNPATH`, `DT_RPATH`).
    pub(crate) search: Vec<String>,
}

impl Program {
    /// Reads an ELF file; the error says what it is instead.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        Elf { bytes }.program()
    }

    /// Whether it runs alone.
    pub(crate) fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }
}

/// A program header.
#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

struct Elf<'a> {
    bytes: &'a [u8],
}

impl Elf<'_> {
    fn program(&self) -> Result<Program, String> {
        if !self.bytes.starts_with(b"\x7fELF") {
            return Err(self.other());
        }
        if self.bytes.get(4..6) != Some(&[2, 1]) {
            return Err("an ELF file that is not 64-bit little-endian".to_owned());
        }
        let architecture = match self.number::<2>(18) {
            Some(machine) if machine == u64::from(X86_64) => Architecture::X86_64,
            Some(machine) if machine == u64::from(AARCH64) => Architecture::Aarch64,
            machine => return Err(format!("an ELF file for machine {}", machine.unwrap_or_default())),
        };
        let segments = self.segments().ok_or_else(cut)?;
        let find = |kind| segments.iter().find(|segment| segment.kind == kind);
        let interpreter = match find(PT_INTERP) {
            Some(segment) => Some(self.text(segment.offset).ok_or_else(cut)?),
            None => None,
        };
        let entries = match find(PT_DYNAMIC) {
            Some(segment) => self.dynamic(segment).ok_or_else(cut)?,
            None => Vec::new(),
        };
        let texts = |tags: &[u64]| self.texts(&segments, &entries, tags).ok_or_else(cut);
        let search = texts(&[DT_RUNPATH, DT_RPATH])?;
        let search = search.iter().flat_map(|list| list.split(':')).map(str::to_owned).collect();
        Ok(Program { architecture, interpreter, needed: texts(&[DT_NEEDED])?, search })
    }

    fn other(&self) -> String {
        match self.bytes {
            [] => "an empty file".to_owned(),
            [b'#', b'!', ..] => "a script".to_owned(),
            _ => "a file that is not ELF".to_owned(),
        }
    }

    fn segments(&self) -> Option<Vec<Segment>> {
        let table = self.number::<8>(32)?;
        let (size, count) = (self.number::<2>(54)?, self.number::<2>(56)?);
        (0..count.min(MOST_ENTRIES as u64))
            .map(|index| {
                let at = table.checked_add(index.checked_mul(size)?)?;
                Some(Segment {
                    kind: u32::try_from(self.number::<4>(at)?).ok()?,
                    offset: self.number::<8>(at.checked_add(8)?)?,
                    address: self.number::<8>(at.checked_add(16)?)?,
                    size: self.number::<8>(at.checked_add(32)?)?,
                })
            })
            .collect()
    }

    /// The (tag, value) pairs of a dynamic section, up to its end mark.
    fn dynamic(&self, segment: &Segment) -> Option<Vec<(u64, u64)>> {
        let mut entries = Vec::new();
        for index in 0..(segment.size / 16).min(MOST_ENTRIES as u64) {
            let at = segment.offset.checked_add(index * 16)?;
            match self.number::<8>(at)? {
                0 => break,
                tag => entries.push((tag, self.number::<8>(at.checked_add(8)?)?)),
            }
        }
        Some(entries)
    }

    /// The strings that entries with one of these tags point to.
    fn texts(&self, segments: &[Segment], entries: &[(u64, u64)], tags: &[u64]) -> Option<Vec<String>> {
        let wanted: Vec<u64> =
            entries.iter().filter(|(tag, _)| tags.contains(tag)).map(|(_, at)| *at).collect();
        if wanted.is_empty() {
            return Some(Vec::new());
        }
        let (_, address) = entries.iter().find(|(tag, _)| *tag == DT_STRTAB)?;
        let home = segments.iter().find(|segment| {
            segment.kind == PT_LOAD
                && *address >= segment.address
                && *address - segment.address < segment.size
        })?;
        let table = home.offset.checked_add(address - home.address)?;
        wanted.into_iter().map(|at| self.text(table.checked_add(at)?)).collect()
    }

    /// The NUL-terminated text at `offset`.
    fn text(&self, offset: u64) -> Option<String> {
        let rest = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let end = memchr::memchr(0, rest)?;
        rest.get(..end).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// The little-endian number of `SIZE` bytes at `offset`.
    fn number<const SIZE: usize>(&self, offset: u64) -> Option<u64> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.bytes.get(start..start.checked_add(SIZE)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

fn cut() -> String {
    "a damaged ELF file: a table lies outside it".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn this_test_program_is_dynamic_and_a_cut_one_is_refused() {
        let bytes = port_content::fs::read(Path::new("/proc/self/exe"), 1 << 30).unwrap();
        let program = Program::parse(&bytes).unwrap();
        if let Some(interpreter) = &program.interpreter {
            assert!(interpreter.starts_with('/'), "{interpreter}");
            assert!(program.needed.iter().any(|name| name.starts_with("libc.so")), "{:?}", program.needed);
        }
        for length in [0, 3, 4, 5, 17, 40, 63, 64, 100, 300] {
            assert!(Program::parse(&bytes[..length]).is_err(), "{length} bytes were taken");
        }
    }

    #[test]
    fn says_what_else_it_found() {
        let table: [(&[u8], &str); 4] = [
            (b"", "an empty file"),
            (b"#!/bin/sh\n", "a script"),
            (b"MZ", "a file that is not ELF"),
            (b"\x7fELF\x01\x01", "an ELF file that is not 64-bit little-endian"),
        ];
        for (bytes, expected) in table {
            assert_eq!(Program::parse(bytes).unwrap_err(), expected);
        }
    }
}
