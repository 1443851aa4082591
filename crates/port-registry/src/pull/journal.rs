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
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use port_content::atomic;
use port_content::fs::{self, Context as _, FsError};
use port_model::Digest;

use crate::pull::checksum::checksum_of;

/// The largest journal that is read, in bytes. At 8 MiB a line it covers terabytes.
const LARGEST: u64 = 16 << 20;

/// The journal of one partial download.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    head: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// What is written down, in the order in which it was.
    lines: Vec<Line>,
}

/// A range that is done, and the checksum of its bytes.
type Line = (Range<u64>, u64);

impl Journal {
    /// Where the journal of a partial download is.
    pub(crate) fn path_of(partial: &Path) -> PathBuf {
        let mut name = partial.as_os_str().to_owned();
        name.push(".ranges");
        PathBuf::from(name)
    }

    /// Opens or starts the journal; it then holds the ranges whose bytes are in `data`. Reads all of them.
    pub(crate) fn open(partial: &Path, data: &File, digest: &Digest, size: u64) -> Result<Self, FsError> {
        let path = Self::path_of(partial);
        let file = fs::open_writable_itself(&path)?;
        let head = format!("port-ranges 1 {digest} {size}\n");
        let mut text = String::new();
        // A journal that is no text, is too long, or is of another blob, is as good as none.
        let lines = match (&file).take(LARGEST).read_to_string(&mut text) {
            Ok(_) => text.strip_prefix(&head).unwrap_or_default(),
            Err(_) => "",
        };
        let lines = lines.split_inclusive('\n').filter_map(|line| parse(line, size));
        let lines = sound(lines.collect(), data);
        let journal = Self { path, head, state: Mutex::new(State { file, lines: Vec::new() }) };
        journal.rewrite(&mut journal.state(), &text, lines)?;
        Ok(journal)
    }

    /// The ranges that are done, sorted and joined.
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        joined(self.state().lines.iter().map(|(range, _)| range.clone()).collect())
    }

    /// A mark to go back to.
    pub(crate) fn mark(&self) -> usize {
        self.state().lines.len()
    }

    /// Writes down that a range is done.
    pub(crate) fn done(&self, range: &Range<u64>, checksum: u64) -> Result<(), FsError> {
        let mut state = self.state();
        (&state.file).write_all(line(range, checksum).as_bytes()).context("write", &self.path)?;
        state.lines.push((range.clone(), checksum));
        Ok(())
    }

    /// Forgets what was written down after a mark. What was there before is read again: a plain stream writes over it.
    pub(crate) fn back_to(&self, mark: usize, data: &File) -> Result<(), FsError> {
        let mut state = self.state();
        let before = self.text(&state.lines);
        let kept = state.lines.iter().take(mark).cloned().collect();
        self.rewrite(&mut state, &before, sound(kept, data))
    }

    /// Has these lines from now on, in place of the text that is there.
    ///
    /// CRASH: lines that stay are there at every moment: the file is cut behind them, or replaced.
    fn rewrite(&self, state: &mut State, before: &str, lines: Vec<Line>) -> Result<(), FsError> {
        let text = self.text(&lines);
        if before.starts_with(&text) {
            state.file.set_len(text.len() as u64).context("cut", &self.path)?;
        } else {
            atomic::write(&self.path, text.as_bytes())?;
            state.file = fs::open_writable_itself(&self.path)?;
        }
        state.file.seek(SeekFrom::End(0)).context("seek in", &self.path)?;
        state.lines = lines;
        Ok(())
    }

    fn text(&self, lines: &[Line]) -> String {
        let lines = lines.iter().map(|(range, checksum)| line(range, *checksum));
        std::iter::once(self.head.clone()).chain(lines).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines whose bytes are there.
fn sound(mut lines: Vec<Line>, data: &File) -> Vec<Line> {
    lines.retain(|(range, checksum)| checksum_of(data, range).ok() == Some(*checksum));
    lines
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

#[cfg(test)]
mod tests {
    use super::*;
    use port_content::hashing::digest_of;
    use std::os::unix::fs::FileExt as _;

    /// A partial file with ten bytes, and what opens its journal.
    fn start(directory: &Path) -> (File, impl Fn(&[u8]) -> Journal) {
        let partial = directory.join("blob.partial");
        let data = fs::open_writable(&partial).unwrap();
        data.write_all_at(b"0123456789", 0).unwrap();
        let again = data.try_clone().unwrap();
        (data, move |blob| Journal::open(&partial, &again, &digest_of(blob), 10).unwrap())
    }

    fn note(journal: &Journal, data: &File, ranges: &[Range<u64>]) {
        for range in ranges {
            journal.done(range, checksum_of(data, range).unwrap()).unwrap();
        }
    }

    #[test]
    fn only_ranges_whose_bytes_are_there_count() {
        let directory = tempfile::tempdir().unwrap();
        let (data, open) = start(directory.path());
        let journal = open(b"x");
        assert_eq!(journal.ranges(), []);
        note(&journal, &data, &[0..3, 3..5, 7..9]);
        assert_eq!(journal.ranges(), [0..5, 7..9]);
        (&journal.state().file).write_all(b"9 10 torn").unwrap();
        assert_eq!(open(b"x").ranges(), [0..5, 7..9]);
        data.write_all_at(b"X", 4).unwrap();
        assert_eq!(open(b"x").ranges(), [0..3, 7..9], "changed bytes do not count");
        assert_eq!(open(b"y").ranges(), [], "another blob");
    }

    #[test]
    fn at_no_moment_are_fewer_ranges_there_than_stay() {
        let directory = tempfile::tempdir().unwrap();
        let (data, open) = start(directory.path());
        let journal = open(b"x");
        note(&journal, &data, &[0..3, 3..5, 7..9]);
        let path = directory.path().join("blob.partial.ranges");
        // What a process that is killed leaves is what this file shows, unless the journal is another one by then.
        let mut seen = fs::open(&path).unwrap();
        let before = fs::read(&path, LARGEST).unwrap();
        data.write_all_at(b"X", 4).unwrap();
        assert_eq!(open(b"x").ranges(), [0..3, 7..9]);
        let mut after = Vec::new();
        seen.read_to_end(&mut after).unwrap();
        assert_eq!(after, before, "it was not written over");
        assert_eq!(open(b"x").ranges(), [0..3, 7..9]);
    }

    #[test]
    fn what_came_after_a_mark_is_forgotten_and_what_was_written_over_too() {
        let directory = tempfile::tempdir().unwrap();
        let (data, open) = start(directory.path());
        let journal = open(b"x");
        note(&journal, &data, &[0..3, 3..5]);
        let mark = journal.mark();
        note(&journal, &data, &[5..10, 6..7]);
        data.write_all_at(b"XX", 2).unwrap();
        journal.back_to(mark, &data).unwrap();
        assert_eq!((journal.ranges(), journal.mark()), (vec![], 0));
        note(&journal, &data, std::slice::from_ref(&(0..4)));
        journal.back_to(1, &data).unwrap();
        note(&journal, &data, std::slice::from_ref(&(8..9)));
        assert_eq!(journal.ranges(), [0..4, 8..9]);
        assert_eq!(open(b"x").ranges(), [0..4, 8..9]);
    }
}
