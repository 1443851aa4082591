//! A reader that hashes while it reads, reads no more than the declared size, and reports the end only after
//! size and digest were found right.

use std::io::{self, Read};

use port_model::Digest;

use crate::hashing::Hasher;

/// Bytes that are not the ones that were named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// More or fewer bytes than declared.
    #[error("expected {expected} bytes, found {}", if *more { format!("more than {found}") } else { found.to_string() })]
    Size {
        /// The declared size.
        expected: u64,
        /// What arrived, up to the declared size.
        found: u64,
        /// Whether more was on its way.
        more: bool,
    },
    /// Other bytes than declared.
    #[error("expected {expected}, found {found} after {size} bytes")]
    Digest {
        /// The declared digest.
        expected: Digest,
        /// The digest of what arrived.
        found: Digest,
        /// How many bytes arrived.
        size: u64,
    },
}

impl Mismatch {
    /// The mismatch inside an `io::Error` that [`VerifyingReader`] returned.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

/// Compares what was hashed with what was declared.
pub fn check(hasher: Hasher, expected: &Digest, size: Option<u64>) -> Result<(), Mismatch> {
    let found_size = hasher.size();
    if let Some(expected) = size.filter(|expected| *expected != found_size) {
        return Err(Mismatch::Size { expected, found: found_size, more: false });
    }
    let found = hasher.finish();
    if &found == expected {
        return Ok(());
    }
    Err(Mismatch::Digest { expected: expected.clone(), found, size: found_size })
}

/// See the module.
#[derive(Debug)]
pub struct VerifyingReader<R> {
    inner: R,
    expected: Digest,
    size: u64,
    hasher: Option<Hasher>,
}

impl<R: Read> VerifyingReader<R> {
    /// Reads from `inner` what must be `size` bytes with this digest.
    pub fn new(inner: R, expected: Digest, size: u64) -> Self {
        Self { inner, expected, size, hasher: Some(Hasher::default()) }
    }

    fn end(&mut self) -> io::Result<usize> {
        let Some(hasher) = self.hasher.take() else { return Ok(0) };
        if hasher.size() == self.size && self.inner.read(&mut [0])? > 0 {
            return Err(invalid(Mismatch::Size { expected: self.size, found: self.size, more: true }));
        }
        check(hasher, &self.expected, Some(self.size)).map_err(invalid)?;
        Ok(0)
    }
}

fn invalid(mismatch: Mismatch) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, mismatch)
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let Some(hasher) = &mut self.hasher else { return Ok(0) };
        let left = usize::try_from(self.size - hasher.size()).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..left])?;
        hasher.update(&buffer[..count]);
        if count == 0 { self.end() } else { Ok(count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashing::digest_of;

    fn read(bytes: &[u8], expected: &[u8], size: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        VerifyingReader::new(bytes, digest_of(expected), size).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn the_end_is_reported_only_after_the_check() {
        assert_eq!(read(b"kernel", b"kernel", 6).unwrap(), b"kernel");
        assert_eq!(read(b"", b"", 0).unwrap(), b"");
        let text = |error: io::Error| error.to_string();
        assert_eq!(text(read(b"kern", b"kernel", 6).unwrap_err()), "expected 6 bytes, found 4");
        assert_eq!(text(read(b"kernel!", b"kernel", 6).unwrap_err()), "expected 6 bytes, found more than 6");
        assert!(text(read(b"kernes", b"kernel", 6).unwrap_err()).starts_with("expected sha256:"));
    }
}
