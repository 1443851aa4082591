//! Which parts of a download are done, in a small file beside it, for a rerun after a kill.
//!
//! ```text
//! port-parts 1 <size of a part> <size> <entity tag> <url>
//! <number> <SHA-256>                  one line per part, appended when its bytes were written
//! ```
//!
//! CRASH: a kill between the bytes and their line repeats one part; a torn last line is ignored. After a power cut the lines
//! may be there and the bytes not: each part is read again and compared before it counts, since there may be no digest of the
//! whole to find it by.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use port_content::fs::{self, Context as _, FsError};
use port_content::hashing::digest_of;
use port_model::Digest;

/// The largest journal that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// The journal of one download.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

/// How a file is cut into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cuts {
    /// The size of every part but the last, in bytes.
    pub(crate) part: u64,
    /// The size of the file, in bytes.
    pub(crate) total: u64,
}

impl Cuts {
    /// How many parts there are.
    pub(crate) fn count(self) -> u64 {
        self.total.div_ceil(self.part)
    }

    /// First byte of a part and the byte behind it.
    pub(crate) fn range(self, number: u64) -> (u64, u64) {
        let start = number.saturating_mul(self.part).min(self.total);
        (start, start.saturating_add(self.part).min(self.total))
    }

    /// Reads a part.
    pub(crate) fn read(self, file: &File, number: u64) -> std::io::Result<Vec<u8>> {
        let (start, end) = self.range(number);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }
}

/// Where the journal of a download is.
pub(crate) fn path_of(download: &Path) -> PathBuf {
    let mut name = download.as_os_str().to_owned();
    name.push(".parts");
    PathBuf::from(name)
}

impl Journal {
    /// Opens or starts the journal of `download`, whose bytes are in `data`; gives the parts that are done. A journal of
    /// another file, or of one that cannot be told from another (no entity tag), is as good as none.
    pub(crate) fn open(
        download: &Path,
        data: &File,
        cuts: Cuts,
        url: &str,
        tag: Option<&str>,
    ) -> Result<(Self, BTreeSet<u64>), FsError> {
        let path = path_of(download);
        let head = format!("port-parts 1 {} {} {} {url}\n", cuts.part, cuts.total, tag.unwrap_or("-"));
        let text = fs::read_to_string(&path, LARGEST).unwrap_or_default();
        let lines = tag.and_then(|_| text.strip_prefix(&head)).unwrap_or_default();
        let parts = lines.split_inclusive('\n').filter_map(|line| parse(line, cuts));
        let sound =
            |part: &(u64, Digest)| cuts.read(data, part.0).is_ok_and(|bytes| digest_of(&bytes) == part.1);
        let parts: Vec<_> = parts.filter(sound).collect();
        let file = fs::open_writable_itself(&path)?;
        file.set_len(0).context("empty", &path)?;
        let mut journal = Self { path, file };
        journal.append(&head)?;
        for (number, digest) in &parts {
            journal.done(*number, digest)?;
        }
        Ok((journal, parts.into_iter().map(|(number, _)| number).collect()))
    }

    /// Writes down that a part is done.
    pub(crate) fn done(&mut self, number: u64, digest: &Digest) -> Result<(), FsError> {
        self.append(&format!("{number} {}\n", digest.hex()))
    }

    fn append(&mut self, line: &str) -> Result<(), FsError> {
        self.file.write_all(line.as_bytes()).context("write", &self.path)
    }
}

fn parse(line: &str, cuts: Cuts) -> Option<(u64, Digest)> {
    let (number, hex) = line.strip_suffix('\n')?.split_once(' ')?;
    let number = number.parse().ok().filter(|number| *number < cuts.count())?;
    Some((number, Digest::from_sha256_hex(hex).ok()?))
}
