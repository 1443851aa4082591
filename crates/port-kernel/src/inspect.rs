//! Looks at a kernel while it is written: size, digest, head, note segments, banner, configuration. So a kernel
//! that is unpacked from a stream is checked as thoroughly as a file, without reading it again.

use std::io::{self, Write};
use std::ops::Range;

use port_content::hashing::Hasher;
use port_model::{Architecture, Digest};

use crate::elf::{self, ElfFacts, Outline};
use crate::error::KernelError;
use crate::facts::Findings;
use crate::image::ImageFacts;
use crate::scan::Scanner;

/// A writer that passes everything on to `inner` and remembers what it needs.
pub(crate) struct Inspector<'a, W> {
    inner: &'a mut W,
    hasher: Hasher,
    head: Vec<u8>,
    scanner: Scanner,
    notes: Option<Vec<Note>>,
}

/// A part of the stream that is kept.
struct Note {
    range: Range<u64>,
    bytes: Vec<u8>,
}

/// What the writer saw.
pub(crate) struct Inspected {
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    pub(crate) elf: Option<ElfFacts>,
    pub(crate) findings: Findings,
}

impl<'a, W: Write> Inspector<'a, W> {
    pub(crate) fn new(inner: &'a mut W) -> Self {
        let (hasher, scanner) = (Hasher::default(), Scanner::default());
        Self { inner, hasher, head: Vec::new(), scanner, notes: None }
    }

    /// Checks that what was written is a whole kernel in the format that Port stores for `architecture`.
    pub(crate) fn finish(
        mut self,
        architecture: Architecture,
        subject: &str,
    ) -> Result<Inspected, KernelError> {
        self.inner.flush().map_err(|source| KernelError::Write { subject: subject.to_owned(), source })?;
        let size = self.hasher.size();
        let elf = match architecture {
            Architecture::X86_64 => Some(self.check_elf(architecture, size, subject)?),
            Architecture::Aarch64 => {
                let head = self.head.get(..crate::image::HEAD).unwrap_or(&self.head);
                ImageFacts::parse(head, subject)?.check_size(size, subject)?;
                None
            }
        };
        Ok(Inspected { size, digest: self.hasher.finish(), elf, findings: self.scanner.finish() })
    }

    fn check_elf(
        &mut self,
        architecture: Architecture,
        size: u64,
        subject: &str,
    ) -> Result<ElfFacts, KernelError> {
        let outline = Outline::parse(&self.head, subject)?;
        outline.check_architecture(architecture, subject)?;
        outline.check_size(size, subject)?;
        self.find_notes();
        let notes: Vec<Vec<u8>> =
            self.notes.take().unwrap_or_default().into_iter().map(|note| note.bytes).collect();
        Ok(outline.facts(&notes, size))
    }

    /// Once the head is there, finds where the notes are. An unreadable head is reported at the end.
    fn find_notes(&mut self) {
        if self.notes.is_some() {
            return;
        }
        let ranges = Outline::parse(&self.head, "").map(|outline| outline.notes).unwrap_or_default();
        let mut notes: Vec<Note> =
            ranges.into_iter().map(|range| Note { range, bytes: Vec::new() }).collect();
        notes.iter_mut().for_each(|note| note.take(0, &self.head));
        self.notes = Some(notes);
    }

    fn remember(&mut self, position: u64, bytes: &[u8]) {
        let missing = elf::HEAD.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.head.extend_from_slice(head);
        if self.head.len() < elf::HEAD {
            return;
        }
        self.find_notes();
        let position = position + head.len() as u64;
        self.notes.iter_mut().flatten().for_each(|note| note.take(position, rest));
    }
}

impl Note {
    /// Keeps what of `bytes`, which stand at `position`, belongs to the note.
    fn take(&mut self, position: u64, bytes: &[u8]) {
        let place =
            |at: u64| usize::try_from(at.saturating_sub(position)).unwrap_or(usize::MAX).min(bytes.len());
        self.bytes
            .extend_from_slice(bytes.get(place(self.range.start)..place(self.range.end)).unwrap_or_default());
    }
}

impl<W: Write> Write for Inspector<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        let bytes = bytes.get(..written).unwrap_or(bytes);
        self.remember(self.hasher.size(), bytes);
        self.hasher.update(bytes);
        self.scanner.write_all(bytes)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_note_is_kept_wherever_the_stream_is_cut() {
        // The sample's note lies behind its text, here beyond the head.
        for text in [10, elf::HEAD - 200, 3 * elf::HEAD] {
            let kernel = samples::elf(62, &vec![5; text]);
            for piece in [1, 61, 4096, kernel.len()] {
                let mut out = Vec::new();
                let mut inspector = Inspector::new(&mut out);
                kernel.chunks(piece).for_each(|piece| inspector.write_all(piece).unwrap());
                let inspected = inspector.finish(Architecture::X86_64, "k").unwrap();
                assert_eq!(
                    inspected.elf.unwrap().pvh_entry,
                    Some(0x0100_0400),
                    "{text} in pieces of {piece}"
                );
                assert_eq!(inspected.digest, port_content::hashing::digest_of(&kernel));
                assert!(out == kernel);
            }
        }
    }
}
