//! SHA-256 (and SHA-512, where others wrote it) while bytes go by.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use port_model::Digest;
use port_model::digest::Algorithm;
use sha2::{Digest as _, Sha256, Sha512};

use crate::fs::{self, Context as _, FsError};

/// How much is read at once, in bytes. Larger showed no gain with SHA-NI.
pub const BUFFER: usize = 256 * 1024;

/// A running hash with a byte count; SHA-256 by default.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    state: State,
    size: u64,
}

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    /// Boxed: rare, and twice as large.
    Sha512(Box<Sha512>),
}

impl Default for State {
    fn default() -> Self {
        Self::Sha256(Sha256::default())
    }
}

impl Hasher {
    /// A hasher of this algorithm, to check a digest that others wrote.
    pub fn of(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::default(),
            Algorithm::Sha512 => State::Sha512(Box::default()),
        };
        Self { state, size: 0 }
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
        self.size += bytes.len() as u64;
    }

    /// How many bytes went in.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of all that went in.
    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha256(state) => Digest::sha256(&state.finalize().into()),
            State::Sha512(state) => Digest::sha512(&state.finalize().into()),
        }
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
        // FIPS 180-2, appendix C.1.
        let mut hasher = Hasher::of(Algorithm::Sha512);
        hasher.update(b"abc");
        let digest = hasher.finish();
        assert!(digest.to_string().starts_with("sha512:ddaf35a193617abacc417349ae204131"), "{digest}");
        assert_eq!(digest.hex().len(), 128);
    }
}
