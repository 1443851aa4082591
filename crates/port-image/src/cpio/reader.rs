//! newc archives back into a tree, for tests and inspection: never to a host's file system.
//!
//! Several archives one behind the other are read as one, later entries replacing earlier ones, as the
//! kernel does. Hard links beyond the one that carries the content become files of their own.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::{FORMAT, HEADER_BYTES, MAGIC, TRAILER};
use crate::error::ImageError;
use crate::tree::{Attributes, Entry, Kind, Tree, TreePath};

/// The longest name that is read, in bytes: `PATH_MAX`.
const NAME_LIMIT: u32 = 4096;

/// How much is read at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of all archives together.
    pub entries: usize,
    /// Bytes of content of all entries together, held in memory.
    pub content: u64,
}

impl Default for Limits {
    /// 100,000 entries and 256 MiB.
    fn default() -> Self {
        Self { entries: 100_000, content: 256 << 20 }
    }
}

/// Reads all archives up to the end of `input`.
pub fn read(input: &mut dyn Read, limits: Limits) -> Result<Tree, ImageError> {
    read_entries(input, limits, Keep::Content)
}

/// Reads a gzip-compressed archive, or several one behind the other.
pub fn read_gz(input: &mut dyn Read, limits: Limits) -> Result<Tree, ImageError> {
    read(&mut MultiGzDecoder::new(input), limits)
}

/// Reads a gzip-compressed archive to its end without keeping content, which the tree lacks then; only the
/// number of entries is limited.
pub fn list_gz(input: &mut dyn Read, entries: usize) -> Result<Tree, ImageError> {
    let limits = Limits { entries, content: u64::MAX };
    read_entries(&mut MultiGzDecoder::new(input), limits, Keep::Nothing)
}

/// Whether content is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Content,
    Nothing,
}

fn read_entries(input: &mut dyn Read, limits: Limits, keep: Keep) -> Result<Tree, ImageError> {
    let mut reader = Reader { input, position: 0, left: limits, limits, keep };
    let mut tree = Tree::new();
    let mut links = BTreeMap::new();
    while reader.skip_zeros()? {
        let header = reader.header()?;
        let Some(path) = header.path(&reader)? else {
            // A trailer; the inode numbers of the next archive are its own.
            links.clear();
            continue;
        };
        reader.left.entries = reader.left.entries.checked_sub(1).ok_or_else(|| ImageError::TooLarge {
            subject: "the number of cpio entries".into(),
            found: limits.entries as u64 + 1,
            limit: limits.entries as u64,
        })?;
        let content = reader.content(header.size)?;
        let entry = header.entry(content, &reader)?;
        let is_linked = header.links > 1 && matches!(entry.kind, Kind::File(_));
        tree.replace(path.as_bytes(), entry)?;
        if is_linked {
            let names: &mut Vec<TreePath> = links.entry(header.inode).or_default();
            names.push(path);
            reader.share(names, &mut tree)?;
        }
    }
    Ok(tree)
}

struct Reader<'a> {
    input: &'a mut dyn Read,
    position: u64,
    left: Limits,
    limits: Limits,
    keep: Keep,
}

#[derive(Debug)]
struct Header {
    inode: u32,
    mode: u32,
    attributes: Attributes,
    links: u32,
    size: u32,
    device: (u32, u32),
    name: Vec<u8>,
}

impl Reader<'_> {
    fn malformed(&self, expected: &str, found: impl ToString) -> ImageError {
        let (expected, found) = (expected.to_owned(), found.to_string());
        ImageError::Malformed { format: FORMAT, offset: self.position, expected, found }
    }

    fn take(&mut self, buffer: &mut [u8]) -> Result<(), ImageError> {
        match self.input.read_exact(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.malformed(&format!("{} bytes", buffer.len()), "the end"))
            }
            result => {
                self.position += buffer.len() as u64;
                result.map_err(ImageError::read(FORMAT))
            }
        }
    }

    /// Skips the zeros between archives, four at a time; says whether anything follows.
    fn skip_zeros(&mut self) -> Result<bool, ImageError> {
        let mut word = [0_u8; 4];
        loop {
            // Every archive begins at a multiple of four, and so does every header.
            let filled = read_full(self.input, &mut word).map_err(ImageError::read(FORMAT))?;
            let rest = word.get(..filled).unwrap_or_default();
            if rest.iter().all(|byte| *byte == 0) {
                self.position += filled as u64;
                if filled < word.len() {
                    return Ok(false);
                }
                continue;
            }
            if !MAGIC.starts_with(rest) {
                return Err(self.malformed("`070701`", format!("{:?}", String::from_utf8_lossy(rest))));
            }
            self.position += filled as u64;
            return Ok(true);
        }
    }

    /// The header whose first four bytes are read, with its name.
    fn header(&mut self) -> Result<Header, ImageError> {
        let mut rest = [0; HEADER_BYTES - 4];
        self.take(&mut rest)?;
        let (magic, digits) = rest.split_at(2);
        if magic != &MAGIC[4..] {
            return Err(self.malformed("`070701`", format!("{:?}", String::from_utf8_lossy(magic))));
        }
        let mut fields = [0; 13];
        for (field, text) in fields.iter_mut().zip(digits.chunks_exact(8)) {
            let number =
                std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
            let number = number.and_then(|text| u32::from_str_radix(text, 16).ok());
            *field = number.ok_or_else(|| self.malformed("hex digits", String::from_utf8_lossy(text)))?;
        }
        let [inode, mode, uid, gid, links, mtime, size, _, _, major, minor, name_size, _] = fields;
        if name_size == 0 || name_size > NAME_LIMIT {
            return Err(self.malformed("a name of 1 to 4096 bytes", name_size));
        }
        let mut name = vec![0; name_size as usize];
        self.take(&mut name)?;
        if name.pop() != Some(0) {
            return Err(self.malformed("a NUL behind the name", "none"));
        }
        self.skip_padding()?;
        let attributes = Attributes::new(mode & 0o7777).owner(uid, gid).mtime(mtime.into());
        Ok(Header { inode, mode, attributes, links, size, device: (major, minor), name })
    }

    /// Takes `size` off what may still be held.
    fn charge(&mut self, size: u64) -> Result<(), ImageError> {
        self.left.content = self.left.content.checked_sub(size).ok_or_else(|| ImageError::TooLarge {
            subject: "the content of the cpio archive".into(),
            found: self.limits.content.saturating_sub(self.left.content).saturating_add(size),
            limit: self.limits.content,
        })?;
        Ok(())
    }

    fn content(&mut self, size: u32) -> Result<Vec<u8>, ImageError> {
        self.charge(size.into())?;
        // `take` keeps the allocation to what is there, however much a header promises.
        let mut part = self.input.take(size.into());
        let mut bytes = Vec::new();
        let count = match self.keep {
            Keep::Content => part.read_to_end(&mut bytes).map(|count| count as u64),
            Keep::Nothing => io::copy(&mut part, &mut io::sink()),
        };
        let count = count.map_err(ImageError::read(FORMAT))?;
        self.position += count;
        if count != u64::from(size) {
            return Err(self.malformed(&format!("{size} bytes of content"), format!("{count} bytes")));
        }
        self.skip_padding()?;
        Ok(bytes)
    }

    /// Gives all names of one inode the content of the one that carries it.
    fn share(&mut self, names: &[TreePath], tree: &mut Tree) -> Result<(), ImageError> {
        let file = |name: &TreePath| match tree.get(name.as_bytes()).map(|entry| &entry.kind) {
            Some(Kind::File(content)) => Some(content),
            _ => None,
        };
        let Some(content) = names.iter().filter_map(file).find(|content| content.size() > 0).cloned() else {
            return Ok(());
        };
        let empty = |name: &&TreePath| file(name).is_some_and(|content| content.size() == 0);
        let empty: Vec<TreePath> = names.iter().filter(empty).cloned().collect();
        for name in empty {
            self.charge(content.size())?;
            if let Some(Entry { attributes, .. }) = tree.get(name.as_bytes()).cloned() {
                tree.replace(name.as_bytes(), Entry { attributes, kind: Kind::File(content.clone()) })?;
            }
        }
        Ok(())
    }

    fn skip_padding(&mut self) -> Result<(), ImageError> {
        let count = self.position.next_multiple_of(4) - self.position;
        let mut padding = [0; 4];
        self.take(padding.get_mut(..count as usize).unwrap_or_default())
    }
}

impl Header {
    /// Where it belongs; `None` for a trailer. Names may begin with `/` or `./`.
    fn path(&self, reader: &Reader<'_>) -> Result<Option<TreePath>, ImageError> {
        if self.name == TRAILER {
            return Ok(None);
        }
        let name = self.name.strip_prefix(b"./").or(self.name.strip_prefix(b"/")).unwrap_or(&self.name);
        if name.is_empty() && self.name.is_empty() {
            return Err(reader.malformed("a name", "an empty one"));
        }
        if matches!(name, b"" | b".") {
            return Ok(Some(TreePath::root()));
        }
        TreePath::parse([b"/", name].concat()).map(Some)
    }

    fn entry(&self, content: Vec<u8>, reader: &Reader<'_>) -> Result<Entry, ImageError> {
        let (major, minor) = self.device;
        let kind = match self.mode & 0o170_000 {
            0o040_000 => Kind::Directory,
            0o100_000 => Kind::File(content.into()),
            0o120_000 if reader.keep == Keep::Nothing => Kind::Symlink(b"?".to_vec()),
            0o120_000 => Kind::Symlink(content),
            0o060_000 => Kind::BlockDevice { major, minor },
            0o020_000 => Kind::CharDevice { major, minor },
            0o010_000 => Kind::Fifo,
            _ => return Err(reader.malformed("a file type", format!("mode {:o}", self.mode))),
        };
        Ok(Entry { attributes: self.attributes.clone(), kind })
    }
}

fn read_full(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
