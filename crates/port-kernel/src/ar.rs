//! The ar archive around a Debian package: a magic line, then members with a 60-byte text header each.
//! Only plain names, as `dpkg-deb` writes them; no symbol tables, no long names.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use crate::bytes::slice;
use crate::error::KernelError;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: u64 = 60;
/// A package has three members; a signature or two may follow.
const MOST_MEMBERS: usize = 16;

/// A member of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// Lists the members of an archive of `length` bytes; all of them lie inside it.
pub(crate) fn members(file: &File, length: u64, subject: &str) -> Result<Vec<Member>, KernelError> {
    let mut magic = [0; MAGIC.len()];
    let count = file.read_at(&mut magic, 0).map_err(|source| KernelError::read(subject, source))?;
    if magic != MAGIC {
        return Err(KernelError::NotExpected {
            subject: subject.to_owned(),
            expected: "a Debian package",
            found: crate::format::describe(magic.get(..count).unwrap_or_default()),
        });
    }
    let mut members = Vec::new();
    let mut position = MAGIC.len() as u64;
    while position < length {
        if members.len() == MOST_MEMBERS {
            return Err(KernelError::malformed(subject, format!("at most {MOST_MEMBERS} members"), "more"));
        }
        let member = member(file, position, length, subject)?;
        // Members start at even positions.
        position = (member.offset + member.size).next_multiple_of(2);
        members.push(member);
    }
    Ok(members)
}

fn member(file: &File, position: u64, length: u64, subject: &str) -> Result<Member, KernelError> {
    let truncated = |part: String, expected| KernelError::Truncated {
        subject: subject.to_owned(),
        part,
        expected,
        found: length,
    };
    let offset = position + HEADER;
    if offset > length {
        return Err(truncated("a member header".to_owned(), offset));
    }
    let mut header = [0; HEADER as usize];
    file.read_exact_at(&mut header, position).map_err(|source| KernelError::read(subject, source))?;
    let field = |at, length| {
        String::from_utf8_lossy(slice(&header, at, length).unwrap_or_default()).trim().to_owned()
    };
    let name = field(0, 16).trim_end_matches('/').to_owned();
    let size = field(48, 10);
    let size = match size.parse::<u64>() {
        Ok(size) if header.ends_with(b"`\n") && size < u64::MAX / 2 => size,
        _ => {
            let expected = format!("an ar member header at byte {position}");
            return Err(KernelError::malformed(
                subject,
                expected,
                format!("name `{}`, size `{}`", name.escape_debug(), size.escape_debug()),
            ));
        }
    };
    if offset + size > length {
        return Err(truncated(format!("`{}`", name.escape_debug()), offset + size));
    }
    Ok(Member { name, offset, size })
}

/// Reads one part of a file by position, so that several readers share one open file.
#[derive(Debug)]
pub(crate) struct Region<'a> {
    file: &'a File,
    position: u64,
    left: u64,
}

impl<'a> Region<'a> {
    pub(crate) fn new(file: &'a File, member: &Member) -> Self {
        Self { file, position: member.offset, left: member.size }
    }
}

impl Read for Region<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.position)?;
        self.position += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
