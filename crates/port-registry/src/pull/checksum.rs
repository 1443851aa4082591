//! A fast 64-bit checksum of what a download wrote, for the journal (docs/formats/registry-state.md). It guards our own
//! bytes against a lost write; it is nothing against an attacker.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// How much is read at once when ranges are checked, in bytes.
const BLOCK: usize = 256 * 1024;

/// Four lanes of multiply and rotate.
#[derive(Debug, Clone)]
pub(crate) struct Checksum {
    lanes: [u64; 4],
    pending: [u8; 32],
    pending_length: usize,
    length: u64,
}

impl Default for Checksum {
    fn default() -> Self {
        Self { lanes: [1, 2, 3, 4], pending: [0; 32], pending_length: 0, length: 0 }
    }
}

impl Checksum {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.pending_length > 0 {
            let (taken, rest) = bytes.split_at(bytes.len().min(32 - self.pending_length));
            for byte in taken {
                if let Some(place) = self.pending.get_mut(self.pending_length) {
                    *place = *byte;
                }
                self.pending_length += 1;
            }
            bytes = rest;
            if self.pending_length < 32 {
                return;
            }
            let block = self.pending;
            self.block(&block);
            self.pending_length = 0;
        }
        let (blocks, rest) = bytes.as_chunks::<32>();
        for block in blocks {
            self.block(block);
        }
        for (place, byte) in self.pending.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.pending_length = rest.len();
    }

    fn block(&mut self, block: &[u8; 32]) {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(Self::FACTOR).rotate_left(29);
        }
    }

    pub(crate) fn finish(mut self) -> u64 {
        let (pending, length) = (self.pending_length, self.length);
        self.pending.iter_mut().skip(pending).for_each(|byte| *byte = 0);
        let block = self.pending;
        self.block(&block);
        self.lanes.iter().fold(length, |sum, lane| (sum ^ lane).wrapping_mul(Self::FACTOR).rotate_left(31))
    }
}

/// The checksum of what lies in a file there.
pub(super) fn checksum_of(data: &File, range: &Range<u64>) -> io::Result<u64> {
    let mut checksum = Checksum::default();
    let mut buffer = vec![0; BLOCK];
    let mut position = range.start;
    while position < range.end {
        let count = usize::try_from(range.end - position).unwrap_or(BLOCK).min(BLOCK);
        let block = buffer.get_mut(..count).unwrap_or_default();
        data.read_exact_at(block, position)?;
        checksum.update(block);
        position += count as u64;
    }
    Ok(checksum.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_does_not_depend_on_how_the_bytes_come() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| (n * 7) as u8).collect();
        let mut whole = Checksum::default();
        whole.update(&bytes);
        for step in [1, 3, 31, 32, 33, 500] {
            let mut parts = Checksum::default();
            bytes.chunks(step).for_each(|part| parts.update(part));
            assert_eq!(parts.finish(), whole.clone().finish(), "{step}");
        }
        let mut other = Checksum::default();
        other.update(&bytes[..999]);
        assert_ne!(other.finish(), whole.finish());
    }
}
