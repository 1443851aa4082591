//! What the targets share: the outside of a map or delta around a body, so that a fuzzer reaches what is behind the
//! checksum.
#![allow(dead_code, reason = "each target uses a part")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

pub(crate) const MAP: &[u8; 8] = b"\x89PMAP\r\n\x1a";
pub(crate) const DELTA: &[u8; 8] = b"\x89PDLT\r\n\x1a";
pub(crate) const BLOCK: usize = 4096;

/// Header and compressed body, as docs/formats/packed-image.md describes them.
pub(crate) fn seal(magic: &[u8; 8], body: &[u8]) -> Vec<u8> {
    let stored = zstd::bulk::compress(body, 1).unwrap();
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&[1, 0, 0, 0]);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    let hash = Sha256::new().chain_update(&bytes).chain_update(&stored).finalize();
    bytes.extend_from_slice(&hash);
    bytes.extend_from_slice(&stored);
    bytes
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// An unnamed file in memory, where there is such a place.
pub(crate) fn file(bytes: &[u8]) -> File {
    let file = tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

pub(crate) fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}
