//! What a workload wrote: one log with both its streams, rotated by size.
//!
//! ```text
//! log (now) ─ full ─► log.1 ─► log.2 ─► log.3 ─► gone
//! ```

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use port_content::fs::{self, Context as _};

use crate::error::DriverError;

/// How large a log gets before it is put aside.
const LARGEST: u64 = 4 << 20;
/// How many are kept besides the one that is written.
const KEPT: u32 = 3;

/// Writes a log. Not crash-safe on purpose: a line that was not flushed is lost with the host.
#[derive(Debug)]
pub(crate) struct LogWriter {
    path: PathBuf,
    file: File,
    length: u64,
    largest: u64,
}

impl LogWriter {
    /// Goes on with the log at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, DriverError> {
        Self::open_with(path, LARGEST)
    }

    fn open_with(path: &Path, largest: u64) -> Result<Self, DriverError> {
        let mut file = fs::open_writable_itself(path)?;
        let length = file.seek(SeekFrom::End(0)).context("seek", path)?;
        Ok(Self { path: path.to_owned(), file, length, largest })
    }

    /// Appends, and puts a full log aside first.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), DriverError> {
        if self.length > 0 && self.length + bytes.len() as u64 > self.largest {
            self.rotate()?;
        }
        self.file.write_all(bytes).context("write", &self.path)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), DriverError> {
        for number in (0..KEPT).rev() {
            let (from, to) = (numbered(&self.path, number), numbered(&self.path, number + 1));
            rename(&from, &to)?;
        }
        *self = Self::open_with(&self.path, self.largest)?;
        Ok(())
    }
}

/// A log is worth no flush of the disk, so this is no `atomic::place`.
fn rename(from: &Path, to: &Path) -> Result<(), DriverError> {
    match rustix::fs::rename(from, to) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        renamed => Ok(renamed.context("rename", from)?),
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{number}"));
    name.into()
}

/// Reads a log from its oldest byte to its newest, and goes on when more is written.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    older: Vec<PathBuf>,
    current: Option<File>,
}

impl LogReader {
    /// Begins at the oldest log that is kept.
    pub fn open(path: &Path) -> Self {
        // The oldest is the last number and is read first: the list is taken from its end.
        let older = (1..=KEPT).map(|number| numbered(path, number)).filter(|path| fs::exists(path)).collect();
        Self { path: path.to_owned(), older, current: None }
    }

    /// The next bytes; none where there is nothing more yet.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn next_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, DriverError> {
        loop {
            if self.current.is_none() {
                let next = self.older.pop().unwrap_or_else(|| self.path.clone());
                self.current = match fs::open_regular(&next) {
                    Err(error) if error.is_not_found() => return Ok(0),
                    opened => Some(opened?.0),
                };
            }
            let Some(file) = &mut self.current else { return Ok(0) };
            let length = file.read(buffer).context("read", &self.path)?;
            if length > 0 || !self.is_put_aside()? {
                return Ok(length);
            }
            self.current = None;
        }
    }

    /// Whether the log that is read is not the one that is written: all of it is read by then.
    fn is_put_aside(&self) -> Result<bool, DriverError> {
        let Some(file) = &self.current else { return Ok(true) };
        let same = |file: &File, path: &Path| -> io::Result<Option<bool>> {
            let ours = file.metadata()?;
            let there = fs::try_metadata(path).map_err(|error| error.source)?;
            Ok(there.map(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
        };
        Ok(same(file, &self.path).context("inspect", &self.path)? == Some(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(reader: &mut LogReader) -> String {
        let (mut all, mut buffer) = (Vec::new(), [0; 5]);
        while let length @ 1.. = reader.next_bytes(&mut buffer).unwrap() {
            all.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn a_log_is_rotated_and_read_from_its_oldest_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut writer = LogWriter::open_with(&path, 10).unwrap();
        let mut follower = LogReader::open(&path);
        assert_eq!(rest(&mut follower), "");
        for line in ["one111\n", "two222\n", "three3\n", "four44\n", "five55\n"] {
            writer.append(line.as_bytes()).unwrap();
        }
        assert_eq!(rest(&mut LogReader::open(&path)), "two222\nthree3\nfour44\nfive55\n");
        let mut follower = LogReader::open(&path);
        assert!(rest(&mut follower).ends_with("five55\n"));
        writer.append(b"six666\n").unwrap();
        assert_eq!(rest(&mut follower), "six666\n");
        // A restarted supervisor goes on with the log.
        drop(writer);
        LogWriter::open_with(&path, 100).unwrap().append(b"seven\n").unwrap();
        assert_eq!(rest(&mut follower), "seven\n");
    }
}
