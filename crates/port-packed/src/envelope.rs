//! The outside of a map and of a delta's index: a fixed header, then one zstd frame.
//!
//! ```text
//! 0  magic, 8 bytes      8  version, u16     10  flags, u16 (all zero)
//! 12 plain length, u32   16 stored length, u32
//! 20 SHA-256 of bytes 0..20 and of the stored body, 32 bytes
//! 52 the body, one zstd frame
//! ```
//!
//! Numbers are little-endian. Invariant: lengths are bounded and the hash is right before anything is decoded.

use crate::PackedError;
use crate::frame::{self, Decoder, Encoder};
use crate::limit::INDEX_BYTES;
use crate::sha256::Sha256;

/// Bytes in front of the body.
pub(crate) const HEADER: usize = 52;
/// What the hash covers of the header.
const HASHED: usize = 20;
const VERSION: u16 = 1;
/// Bodies are small; this level is where they stop shrinking.
const LEVEL: i32 = 12;

/// Which of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// As errors name it.
    pub(crate) name: &'static str,
    pub(crate) magic: [u8; 8],
}

/// The map's; the high byte and the line ends show a transfer that took the bytes for text.
pub(crate) const MAP: Kind = Kind { name: "map", magic: *b"\x89PMAP\r\n\x1a" };
/// The delta's.
pub(crate) const DELTA: Kind = Kind { name: "delta", magic: *b"\x89PDLT\r\n\x1a" };

impl Kind {
    fn error(self, finding: impl Into<String>) -> PackedError {
        PackedError::Malformed { document: self.name, finding: finding.into() }
    }
}

/// Puts a body into its envelope.
pub(crate) fn seal(kind: Kind, plain: &[u8]) -> Result<Vec<u8>, PackedError> {
    let too_large =
        || PackedError::TooLarge { subject: kind.name, limit: INDEX_BYTES as u64, found: plain.len() as u64 };
    if plain.len() > INDEX_BYTES {
        return Err(too_large());
    }
    let body = Encoder::new(LEVEL)?.encode(plain)?;
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&kind.magic);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&0_u16.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(plain.len()).map_err(|_| too_large())?.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(body.len()).map_err(|_| too_large())?.to_le_bytes());
    let hash = hash_of(&bytes, &body);
    bytes.extend_from_slice(&hash);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

fn hash_of(header: &[u8], body: &[u8]) -> Sha256 {
    use sha2::Digest as _;
    sha2::Sha256::new().chain_update(header).chain_update(body).finalize().into()
}

/// A checked header: what to read next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    kind: Kind,
    hashed: [u8; HASHED],
    sha256: Sha256,
    plain: usize,
    /// Bytes of the body.
    pub(crate) stored: usize,
}

impl Header {
    /// Reads the first [`HEADER`] bytes.
    pub(crate) fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, PackedError> {
        let short = || kind.error(format!("expected a header of {HEADER} bytes, found {}", bytes.len()));
        let (hashed, rest) = bytes.split_first_chunk::<HASHED>().ok_or_else(short)?;
        let (sha256, _) = rest.split_first_chunk().ok_or_else(short)?;
        let [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, f0, f1, p0, p1, p2, p3, s0, s1, s2, s3] = *hashed;
        if [m0, m1, m2, m3, m4, m5, m6, m7] != kind.magic {
            return Err(kind.error("expected its magic bytes at the start, found others"));
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(kind.error(format!("expected version {VERSION}, found {version}")));
        }
        let flags = u16::from_le_bytes([f0, f1]);
        if flags != 0 {
            return Err(kind.error(format!("expected no flags, found {flags:#06x}")));
        }
        let bounded = |field: &str, number: [u8; 4], most: usize| {
            let number = u32::from_le_bytes(number) as usize;
            if number <= most {
                return Ok(number);
            }
            Err(kind.error(format!("{field}: expected at most {most} bytes, found {number}")))
        };
        let plain = bounded("plain length", [p0, p1, p2, p3], INDEX_BYTES)?;
        let stored = bounded("stored length", [s0, s1, s2, s3], frame::bound(plain))?;
        Ok(Self { kind, hashed: *hashed, sha256: *sha256, plain, stored })
    }

    /// Checks and decodes the body.
    pub(crate) fn open(&self, body: &[u8]) -> Result<Vec<u8>, PackedError> {
        if body.len() != self.stored {
            let finding = format!("expected a body of {} bytes, found {}", self.stored, body.len());
            return Err(self.kind.error(finding));
        }
        if hash_of(&self.hashed, body) != self.sha256 {
            return Err(self.kind.error("its SHA-256 does not match: bytes were changed"));
        }
        let mut plain = vec![0; self.plain];
        Decoder::new().decode(body, &mut plain).map_err(|finding| self.kind.error(finding))?;
        Ok(plain)
    }
}

/// Opens an envelope that is all of `bytes`.
pub(crate) fn open(kind: Kind, bytes: &[u8]) -> Result<Vec<u8>, PackedError> {
    let header = Header::parse(kind, bytes)?;
    header.open(bytes.get(HEADER..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let plain = b"some body, some body, some body".repeat(3);
        let sealed = seal(MAP, &plain).unwrap();
        assert_eq!(open(MAP, &sealed).unwrap(), plain);
        for place in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[place] ^= 1 << bit;
                assert!(open(MAP, &changed).is_err(), "byte {place} bit {bit}");
            }
        }
        for length in 0..sealed.len() {
            assert!(open(MAP, &sealed[..length]).is_err(), "{length} bytes");
        }
        assert!(open(MAP, &[&sealed[..], b"x"].concat()).is_err());
        assert!(open(DELTA, &sealed).unwrap_err().to_string().contains("magic"));
    }

    #[test]
    fn a_header_that_claims_too_much_costs_nothing() {
        let mut sealed = seal(MAP, b"x").unwrap();
        sealed[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        let text = open(MAP, &sealed).unwrap_err().to_string();
        assert_eq!(
            text,
            "the map is not valid: plain length: expected at most 16777216 bytes, found 4294967295"
        );
        let mut sealed = seal(MAP, b"x").unwrap();
        sealed[16..20].copy_from_slice(&1_000_000_u32.to_le_bytes());
        assert!(open(MAP, &sealed).unwrap_err().to_string().contains("stored length"));
        for (place, word) in [(8, "version"), (10, "flags")] {
            let mut sealed = seal(MAP, b"x").unwrap();
            sealed[place] = 9;
            assert!(open(MAP, &sealed).unwrap_err().to_string().contains(word));
        }
    }
}
