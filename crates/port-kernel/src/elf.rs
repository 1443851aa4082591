//! The few facts of a 64-bit little-endian ELF kernel that decide whether it can boot: machine, entry,
//! segments inside the file, PVH entry. Not an ELF library: no symbols, no relocations.
//!
//! Only the head and the note segments are read, by position, so a 60 MB kernel costs a few kilobytes.
//! Invariant: an [`ElfFacts`] exists only for a file that holds every byte its headers point to.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use port_content::fs::{self, Context as _};
use port_model::Architecture;

use crate::bytes::{slice, u16_at, u32_at, u64_at};
use crate::error::KernelError;

/// The program headers must lie in this many first bytes. Linkers put them right after the file header.
pub(crate) const HEAD: usize = 64 * 1024;
/// The longest note segment that is read, in bytes.
const LONGEST_NOTE: u64 = 64 * 1024;
/// The most note segments that are read.
const MOST_NOTES: usize = 16;

const FILE_HEADER: usize = 64;
const PROGRAM_HEADER: u16 = 56;
const SECTION_HEADER: u64 = 64;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
/// `XEN_ELFNOTE_PHYS32_ENTRY`: the 32-bit address where a PVH boot starts.
const XEN_PHYS32_ENTRY: u32 = 18;

/// What an ELF kernel says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfFacts {
    /// The architecture that it is for.
    pub architecture: Architecture,
    /// Where a 64-bit boot starts.
    pub entry: u64,
    /// Where a PVH boot starts, if the kernel has a PVH note.
    pub pvh_entry: Option<u64>,
    /// How many segments are loaded.
    pub load_segments: usize,
    /// The size of the file, in bytes.
    pub size: u64,
}

/// Checks that `path` is a whole ELF kernel for `architecture`.
pub fn check(path: &Path, architecture: Architecture) -> Result<ElfFacts, KernelError> {
    let subject = format!("`{}`", path.display());
    let (file, metadata) = fs::open_regular(path)?;
    let mut head = vec![0; usize::try_from(metadata.len()).unwrap_or(HEAD).min(HEAD)];
    read_at(&file, &mut head, 0).context("read", path)?;
    let outline = Outline::parse(&head, &subject)?;
    outline.check_architecture(architecture, &subject)?;
    outline.check_size(metadata.len(), &subject)?;
    let mut notes = Vec::new();
    for range in &outline.notes {
        let mut note = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        read_at(&file, &mut note, range.start).context("read", path)?;
        notes.push(note);
    }
    Ok(outline.facts(&notes, metadata.len()))
}

/// Fills `buffer`; a file that shrank meanwhile leaves zeros, which no check takes for a kernel.
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<()> {
    match file.read_exact_at(buffer, position) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        other => other,
    }
}

/// What the head of an ELF file says, before the rest of the file was seen.
#[derive(Debug)]
pub(crate) struct Outline {
    architecture: Architecture,
    entry: u64,
    load_segments: usize,
    /// The end of every part that must be in the file, with its name.
    ends: Vec<(String, u64)>,
    /// Where the notes are.
    pub(crate) notes: Vec<Range<u64>>,
}

impl Outline {
    /// Reads the file header and the program headers. `head` is the first [`HEAD`] bytes, or the whole file.
    pub(crate) fn parse(head: &[u8], subject: &str) -> Result<Self, KernelError> {
        let Some(header) = head.get(..FILE_HEADER) else {
            return Err(KernelError::Truncated {
                subject: subject.to_owned(),
                part: "the ELF header".to_owned(),
                expected: FILE_HEADER as u64,
                found: head.len() as u64,
            });
        };
        let architecture = identify(header, subject)?;
        let number = |offset| u64_at(header, offset).unwrap_or(0);
        let mut outline =
            Self { architecture, entry: number(24), load_segments: 0, ends: Vec::new(), notes: Vec::new() };
        outline.read_segments(head, subject)?;
        outline.read_section_table(header, subject)?;
        if outline.load_segments == 0 {
            return Err(KernelError::malformed(subject, "at least one segment to load", "none"));
        }
        Ok(outline)
    }

    fn read_segments(&mut self, head: &[u8], subject: &str) -> Result<(), KernelError> {
        let start = u64_at(head, 32).unwrap_or(0);
        let count = u16_at(head, 56).unwrap_or(0);
        let size = u16_at(head, 54).unwrap_or(0);
        if count > 0 && size != PROGRAM_HEADER {
            let expected = format!("program headers of {PROGRAM_HEADER} bytes");
            return Err(KernelError::malformed(subject, expected, size.to_string()));
        }
        let length = usize::from(count) * usize::from(PROGRAM_HEADER);
        let end = end_of(start, length as u64, "the program headers", subject)?;
        let Some(table) = usize::try_from(start).ok().and_then(|start| slice(head, start, length)) else {
            if head.len() < HEAD {
                return Err(truncated(subject, "the program headers", end, head.len() as u64));
            }
            let expected = format!("the program headers in the first {HEAD} bytes");
            return Err(KernelError::malformed(subject, expected, format!("them at byte {start}")));
        };
        for (index, header) in table.chunks_exact(usize::from(PROGRAM_HEADER)).enumerate() {
            self.read_segment(index, header, subject)?;
        }
        Ok(())
    }

    fn read_segment(&mut self, index: usize, header: &[u8], subject: &str) -> Result<(), KernelError> {
        let offset = u64_at(header, 8).unwrap_or(0);
        let length = u64_at(header, 32).unwrap_or(0);
        let part = format!("segment {index}");
        let end = end_of(offset, length, &part, subject)?;
        match u32_at(header, 0) {
            Some(PT_LOAD) => self.load_segments += 1,
            Some(PT_NOTE) if length <= LONGEST_NOTE && self.notes.len() < MOST_NOTES => {
                self.notes.push(offset..end);
            }
            _ => {}
        }
        self.ends.push((part, end));
        Ok(())
    }

    /// The section headers are the last thing in a linked file, so they tell a cut file best.
    fn read_section_table(&mut self, header: &[u8], subject: &str) -> Result<(), KernelError> {
        let start = u64_at(header, 40).unwrap_or(0);
        let count = u64::from(u16_at(header, 60).unwrap_or(0));
        if start > 0 && count > 0 {
            let end = end_of(start, count * SECTION_HEADER, "the section headers", subject)?;
            self.ends.push(("the section headers".to_owned(), end));
        }
        Ok(())
    }

    /// Refuses another machine.
    pub(crate) fn check_architecture(
        &self,
        expected: Architecture,
        subject: &str,
    ) -> Result<(), KernelError> {
        if self.architecture == expected {
            return Ok(());
        }
        let found = self.architecture.to_string();
        Err(KernelError::Architecture { subject: subject.to_owned(), expected, found })
    }

    /// Refuses a file that ends before its parts do.
    pub(crate) fn check_size(&self, size: u64, subject: &str) -> Result<(), KernelError> {
        match self.ends.iter().max_by_key(|(_, end)| *end).filter(|(_, end)| *end > size) {
            Some((part, end)) => Err(truncated(subject, part, *end, size)),
            None => Ok(()),
        }
    }

    /// The facts, with the bytes of the notes in the order of [`Outline::notes`].
    pub(crate) fn facts(&self, notes: &[Vec<u8>], size: u64) -> ElfFacts {
        ElfFacts {
            architecture: self.architecture,
            entry: self.entry,
            pvh_entry: notes.iter().find_map(|note| pvh_entry(note)),
            load_segments: self.load_segments,
            size,
        }
    }
}

/// Checks what every ELF kernel has in common, and returns its machine.
fn identify(header: &[u8], subject: &str) -> Result<Architecture, KernelError> {
    let not_elf = |found: String| KernelError::NotExpected {
        subject: subject.to_owned(),
        expected: "a 64-bit little-endian ELF kernel",
        found,
    };
    if !header.starts_with(b"\x7fELF") {
        return Err(not_elf(crate::format::describe(header)));
    }
    match (header.get(4), header.get(5)) {
        (Some(2), Some(1)) => {}
        (Some(1), _) => return Err(not_elf("a 32-bit ELF file".to_owned())),
        (_, Some(2)) => return Err(not_elf("a big-endian ELF file".to_owned())),
        _ => return Err(not_elf("an ELF file of unknown class".to_owned())),
    }
    match u16_at(header, 16) {
        // ET_EXEC and ET_DYN: a relocatable kernel may be linked as a shared object.
        Some(2 | 3) => {}
        Some(1) => return Err(not_elf("an ELF object file (a kernel module?)".to_owned())),
        Some(4) => return Err(not_elf("an ELF core dump".to_owned())),
        other => return Err(not_elf(format!("an ELF file of type {}", other.unwrap_or(0)))),
    }
    match u16_at(header, 18) {
        Some(EM_X86_64) => Ok(Architecture::X86_64),
        Some(EM_AARCH64) => Ok(Architecture::Aarch64),
        other => Err(not_elf(format!("an ELF file for machine {}", other.unwrap_or(0)))),
    }
}

fn end_of(start: u64, length: u64, part: &str, subject: &str) -> Result<u64, KernelError> {
    start.checked_add(length).ok_or_else(|| {
        let expected = format!("{part} to end before byte {}", u64::MAX);
        KernelError::malformed(subject, expected, format!("{length} bytes at byte {start}"))
    })
}

fn truncated(subject: &str, part: &str, expected: u64, found: u64) -> KernelError {
    KernelError::Truncated { subject: subject.to_owned(), part: part.to_owned(), expected, found }
}

/// Walks the notes of one segment. Linux aligns them to 4 bytes.
fn pvh_entry(mut notes: &[u8]) -> Option<u64> {
    while let (Some(name_size), Some(size), Some(kind)) =
        (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8))
    {
        let (name_size, size) = (usize::try_from(name_size).ok()?, usize::try_from(size).ok()?);
        let value_at = name_size.checked_next_multiple_of(4)?.checked_add(12)?;
        if slice(notes, 12, name_size)? == b"Xen\0" && kind == XEN_PHYS32_ENTRY {
            let value = slice(notes, value_at, size)?;
            return u64_at(value, 0).or_else(|| u32_at(value, 0).map(u64::from));
        }
        notes = notes.get(size.checked_next_multiple_of(4)?.checked_add(value_at)?..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn check_bytes(bytes: &[u8], architecture: Architecture) -> Result<ElfFacts, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vmlinux");
        port_content::atomic::write(&path, bytes).unwrap();
        let shown = path.display().to_string();
        check(&path, architecture).map_err(|error| error.to_string().replace(&shown, "k"))
    }

    #[test]
    fn a_whole_kernel_gives_its_facts() {
        let kernel = samples::elf(62, b"text");
        let facts = check_bytes(&kernel, Architecture::X86_64).unwrap();
        assert_eq!(facts.pvh_entry, Some(0x0100_0400));
        assert_eq!((facts.entry, facts.load_segments), (0x0100_0000, 1));
        assert_eq!(facts.size, kernel.len() as u64);
        assert_eq!(
            check_bytes(&samples::elf(183, b""), Architecture::Aarch64).unwrap().architecture,
            Architecture::Aarch64
        );
    }

    #[test]
    fn the_other_machine_is_refused() {
        assert_eq!(
            check_bytes(&samples::elf(183, b""), Architecture::X86_64).unwrap_err(),
            "`k` is for another architecture: expected x86_64, found aarch64"
        );
        let error = check_bytes(&samples::elf(243, b""), Architecture::X86_64).unwrap_err();
        assert!(error.ends_with("found an ELF file for machine 243"), "{error}");
    }

    #[test]
    fn p_70_a_truncated_or_empty_kernel_is_refused_with_numbers() {
        let kernel = samples::elf(62, &[7; 5000]);
        let whole = kernel.len();
        for cut in [64, 100, whole - 100] {
            let error = check_bytes(&kernel[..cut], Architecture::X86_64).unwrap_err();
            assert!(error.starts_with("`k` is truncated: expected "), "{cut}: {error}");
            assert!(error.ends_with(&format!("found the end of the file at byte {cut}")), "{cut}: {error}");
        }
        for cut in 0..whole {
            assert!(
                Outline::parse(&kernel[..cut], "k")
                    .and_then(|outline| outline.check_size(cut as u64, "k"))
                    .is_err(),
                "{cut}"
            );
        }
        assert!(
            check_bytes(&[], Architecture::X86_64)
                .unwrap_err()
                .contains("found the end of the file at byte 0")
        );
    }

    #[test]
    fn numbers_that_overflow_are_refused() {
        let mut kernel = samples::elf(62, b"text");
        kernel[64 + 8..64 + 16].fill(0xff);
        let error = check_bytes(&kernel, Architecture::X86_64).unwrap_err();
        assert!(error.starts_with("`k` is malformed: expected segment 0 to end"), "{error}");
    }

    #[test]
    fn a_kernel_without_the_note_has_no_pvh_entry() {
        assert_eq!(pvh_entry(&samples::note(b"GNU\0", 3, &[1; 20])), None);
        let mut both = samples::note(b"GNU\0", 3, &[1; 19]);
        both.extend(samples::note(b"Xen\0", 18, &0x20_0000_u64.to_le_bytes()));
        assert_eq!(pvh_entry(&both), Some(0x20_0000));
        assert_eq!(pvh_entry(&[0xff; 64]), None);
    }
}
