//! SHA-256 while bytes go by.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use port_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::fs::{self, Context as _, FsError};

/// How much is read at once, in bytes. Larger showed no gain with SHA-NI.
pub const BUFFER: usize = 256 * 1024;

/// A running SHA-256 with a byte count.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    sha256: Sha256,
    size: u64,
}

impl Hasher {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// How many bytes went in.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of all that went in.
    pub fn finish(self) -> Digest {
        Digest::sha256(&self.sha256.finalize().into())
    }
}

/// A writer that hashes what it passes on.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    /// The wrapped writer and the hash of what was written.
    pub fn into_parts(self) -> (W, Hasher) {
        (self.inner, self.hasher)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Digest of bytes in memory.
pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// Digest and size of an open file, from its current position.
pub fn digest_reader(reader: &mut impl Read) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let size = hasher.size();
    Ok((hasher.finish(), size))
}

/// Digest and size of a regular file.
pub fn digest_file(path: &Path) -> Result<(Digest, u64), FsError> {
    let (mut file, _): (File, _) = fs::open_regular(path)?;
    digest_reader(&mut file).context("read", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_test_vector() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            digest_of(b"abc").hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
