//! Which ranges of a partial download are done, in a small file beside it, for a rerun after a kill.
//!
//! ```text
//! port-ranges 1 sha256:… <size>
//! <start> <end> <checksum>            one line per range, appended when its bytes were written
//! ```
//!
//! CRASH: a kill between the bytes and their line repeats one range; a torn last line is ignored. After a power
//! cut the lines may be there and the bytes not: each range is read again and compared with its checksum before it
//! counts. The checksum finds accidents, not attacks: the digest of the whole file does that.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use port_content::fs::{self, Context as _, FsError};
use port_model::Digest;

/// The largest journal that is read, in bytes. At 8 MiB a line it covers terabytes.
const LARGEST: u64 = 16 << 20;
/// How much is read at once when ranges are checked, in bytes.
const BLOCK: usize = 256 * 1024;

/// The journal of one partial download.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Where the journal of a partial download is.
    pub(crate) fn path_of(partial: &Path) -> PathBuf {
        let mut name = partial.as_os_str().to_owned();
        name.push(".ranges");
        PathBuf::from(name)
    }

    /// Opens or starts the journal; returns the ranges whose bytes are in `data`, sorted and joined.
    pub(crate) fn open(
        partial: &Path,
        data: &File,
        digest: &Digest,
        size: u64,
    ) -> Result<(Self, Vec<Range<u64>>), FsError> {
        let path = Self::path_of(partial);
        let mut file = fs::open_writable(&path)?;
        let head = format!("port-ranges 1 {digest} {size}\n");
        let mut text = String::new();
        // A journal that is no text, is too long, or is of another blob, is as good as none.
        let read = (&file).take(LARGEST).read_to_string(&mut text);
        let lines = match read {
            Ok(_) => text.strip_prefix(&head).unwrap_or_default(),
            Err(_) => "",
        };
        let done = lines.split_inclusive('\n').filter_map(|line| parse(line, size));
        let mut kept: Vec<Range<u64>> = Vec::new();
        let mut lines = head.clone();
        for (range, checksum) in done {
            if checksum_of(data, &range).ok() == Some(checksum) {
                lines.push_str(&line(&range, checksum));
                kept.push(range);
            }
        }
        if lines != text {
            file.set_len(0).and_then(|()| file.rewind()).context("empty", &path)?;
            file.write_all(lines.as_bytes()).context("write", &path)?;
        }
        file.seek(SeekFrom::End(0)).context("seek in", &path)?;
        Ok((Self { file, path }, joined(kept)))
    }

    /// Writes down that a range is done.
    pub(crate) fn done(&self, range: &Range<u64>, checksum: u64) -> Result<(), FsError> {
        (&self.file).write_all(line(range, checksum).as_bytes()).context("write", &self.path)
    }
}

fn line(range: &Range<u64>, checksum: u64) -> String {
    format!("{} {} {checksum:016x}\n", range.start, range.end)
}

fn parse(line: &str, size: u64) -> Option<(Range<u64>, u64)> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    let (start, end) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let checksum = u64::from_str_radix(words.next()?, 16).ok()?;
    (words.next().is_none() && start < end && end <= size).then_some((start..end, checksum))
}

/// Sorts ranges and joins those that touch or overlap; empty ones go.
pub(crate) fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut out: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match out.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => out.push(range),
        }
    }
    out
}

fn checksum_of(data: &File, range: &Range<u64>) -> io::Result<u64> {
    let mut checksum = Checksum::default();
    let mut buffer = vec![0; BLOCK];
    let mut position = range.start;
    while position < range.end {
        let count = usize::try_from(range.end - position).unwrap_or(BLOCK).min(BLOCK);
        let block = buffer.get_mut(..count).unwrap_or_default();
        data.read_exact_at(block, position)?;
        checksum.update(block);
        position += count as u64;
    }
    Ok(checksum.finish())
}

/// A fast 64-bit checksum: four lanes of multiply and rotate. It guards our own bytes against a lost write.
#[derive(Debug, Clone)]
pub(crate) struct Checksum {
    lanes: [u64; 4],
    pending: [u8; 32],
    pending_length: usize,
    length: u64,
}

impl Default for Checksum {
    fn default() -> Self {
        Self { lanes: [1, 2, 3, 4], pending: [0; 32], pending_length: 0, length: 0 }
    }
}

impl Checksum {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.pending_length > 0 {
            let (taken, rest) = bytes.split_at(bytes.len().min(32 - self.pending_length));
            for byte in taken {
                if let Some(place) = self.pending.get_mut(self.pending_length) {
                    *place = *byte;
                }
                self.pending_length += 1;
            }
            bytes = rest;
            if self.pending_length < 32 {
                return;
            }
            let block = self.pending;
            self.block(&block);
            self.pending_length = 0;
        }
        let (blocks, rest) = bytes.as_chunks::<32>();
        for block in blocks {
            self.block(block);
        }
        for (place, byte) in self.pending.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.pending_length = rest.len();
    }

    fn block(&mut self, block: &[u8; 32]) {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(Self::FACTOR).rotate_left(29);
        }
    }

    pub(crate) fn finish(mut self) -> u64 {
        let (pending, length) = (self.pending_length, self.length);
        self.pending.iter_mut().skip(pending).for_each(|byte| *byte = 0);
        let block = self.pending;
        self.block(&block);
        self.lanes.iter().fold(length, |sum, lane| (sum ^ lane).wrapping_mul(Self::FACTOR).rotate_left(31))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use port_content::hashing::digest_of;

    #[test]
    fn a_checksum_does_not_depend_on_how_the_bytes_come() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| (n * 7) as u8).collect();
        let mut whole = Checksum::default();
        whole.update(&bytes);
        for step in [1, 3, 31, 32, 33, 500] {
            let mut parts = Checksum::default();
            bytes.chunks(step).for_each(|part| parts.update(part));
            assert_eq!(parts.finish(), whole.clone().finish(), "{step}");
        }
        let mut other = Checksum::default();
        other.update(&bytes[..999]);
        assert_ne!(other.finish(), whole.finish());
    }

    #[test]
    fn only_ranges_whose_bytes_are_there_count() {
        let directory = tempfile::tempdir().unwrap();
        let partial = directory.path().join("blob.partial");
        let data = fs::open_writable(&partial).unwrap();
        data.write_all_at(b"0123456789", 0).unwrap();
        let digest = digest_of(b"x");
        let open = || Journal::open(&partial, &data, &digest, 10).unwrap();
        let (journal, done) = open();
        assert_eq!(done, []);
        for range in [0..3, 3..5, 7..9] {
            journal.done(&range, checksum_of(&data, &range).unwrap()).unwrap();
        }
        (&journal.file).write_all(b"9 10 torn").unwrap();
        assert_eq!(open().1, [0..5, 7..9]);
        data.write_all_at(b"X", 4).unwrap();
        assert_eq!(open().1, [0..3, 7..9], "changed bytes do not count");
        let other = Journal::open(&partial, &data, &digest_of(b"y"), 10).unwrap();
        assert_eq!(other.1, [], "another blob");
    }
}
