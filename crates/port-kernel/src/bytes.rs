//! Little-endian numbers, text and copies out of bytes that nobody checked yet. Nothing here panics: a
//! position past the end is `None`, and a copy stops at its limit.

use std::io::{self, Read, Write};

/// How much is copied at once, in bytes.
const BUFFER: usize = 128 * 1024;

/// `length` bytes at `offset`.
pub(crate) fn slice(bytes: &[u8], offset: usize, length: usize) -> Option<&[u8]> {
    bytes.get(offset..offset.checked_add(length)?)
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    slice(bytes, offset, N)?.try_into().ok()
}

/// The byte at `offset`.
pub(crate) fn u8_at(bytes: &[u8], offset: usize) -> Option<u8> {
    bytes.get(offset).copied()
}

/// The 16-bit number at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_le_bytes)
}

/// The 32-bit number at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array(bytes, offset).map(u32::from_le_bytes)
}

/// The 64-bit number at `offset`.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array(bytes, offset).map(u64::from_le_bytes)
}

/// The printable ASCII text at the start of `bytes`, up to the first byte that `ends` it. `None` where it is
/// empty, not printable, or does not end within `longest` bytes.
pub(crate) fn text(bytes: &[u8], longest: usize, ends: impl Fn(u8) -> bool) -> Option<&str> {
    let window = bytes.get(..longest.min(bytes.len()))?;
    let text = window.get(..window.iter().position(|byte| ends(*byte))?)?;
    let printable = !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    if printable { std::str::from_utf8(text).ok() } else { None }
}

/// Fills as much of `limit` bytes as `reader` has. The vector grows with what arrives, not with the limit.
pub(crate) fn read_up_to(reader: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Which side of a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    Read(io::Error),
    Write(io::Error),
    /// There is more than the limit.
    Limit,
}

/// Copies all of `reader`, which must not have more than `limit` bytes.
pub(crate) fn copy(reader: &mut dyn Read, writer: &mut dyn Write, limit: u64) -> Result<u64, CopyError> {
    let mut buffer = vec![0; BUFFER];
    let mut copied = 0_u64;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        copied = copied.saturating_add(count as u64);
        if copied > limit {
            return Err(CopyError::Limit);
        }
        writer.write_all(buffer.get(..count).unwrap_or_default()).map_err(CopyError::Write)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_end_is_none() {
        let bytes = [1, 2, 3, 4];
        assert_eq!(u16_at(&bytes, 2), Some(0x0403));
        assert_eq!(u16_at(&bytes, 3), None);
        assert_eq!(u32_at(&bytes, 0), Some(0x0403_0201));
        assert_eq!(u64_at(&bytes, 0), None);
        assert_eq!(slice(&bytes, usize::MAX, 2), None);
    }

    #[test]
    fn text_must_end_and_be_printable() {
        let nul = |byte| byte == 0;
        assert_eq!(text(b"6.1.0\0x", 16, nul), Some("6.1.0"));
        assert_eq!(text(b"6.1.0", 16, nul), None);
        assert_eq!(text(b"6.1.0\0", 3, nul), None);
        assert_eq!(text(b"6\x07\0", 16, nul), None);
        assert_eq!(text(b"\0", 16, nul), None);
    }

    #[test]
    fn a_copy_stops_at_its_limit() {
        let mut out = Vec::new();
        assert_eq!(copy(&mut &b"four"[..], &mut out, 4).unwrap(), 4);
        assert!(matches!(copy(&mut &b"fives"[..], &mut out, 4), Err(CopyError::Limit)));
    }
}
