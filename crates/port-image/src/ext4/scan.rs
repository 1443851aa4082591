//! Which blocks of a file hold something else than zeros. The others become holes.

use port_content::hashing::BUFFER;

use super::bytes::ZERO_BLOCK;
use super::geometry::{BLOCK, BLOCK_BYTES};
use crate::content::{Content, Source, Stamp};
use crate::error::ImageError;

/// A run of blocks of a file with content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Number of the first block within the file.
    pub(super) logical: u32,
    /// How many blocks.
    pub(super) length: u32,
}

/// A file's runs, and its state when it was scanned.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) runs: Vec<Run>,
    pub(super) stamp: Option<Stamp>,
}

impl Scanned {
    /// Something that is `blocks` long, without holes.
    pub(super) fn solid(blocks: usize) -> Self {
        let length = u32::try_from(blocks).unwrap_or(u32::MAX);
        Self { runs: vec![Run { logical: 0, length }], stamp: None }
    }
}

/// Finds the runs of a content whose size is below the 16 TiB that block numbers reach.
pub(super) fn scan(content: &Content) -> Result<Scanned, ImageError> {
    let source = Source::open(content)?;
    let mut runs = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut position = 0;
    while let Some((start, end)) = source.next_data(position)? {
        let mut at = start - start % BLOCK;
        // A block that straddles two runs was looked at with the first one.
        at = at.max(position);
        while at < end {
            let count = usize::try_from(source.size() - at).unwrap_or(usize::MAX).min(BUFFER);
            let part = buffer.get_mut(..count).unwrap_or_default();
            source.read_exact_at(part, at)?;
            scan_blocks(part, at / BLOCK, &mut runs);
            at += count.next_multiple_of(BLOCK_BYTES) as u64;
        }
        position = at;
    }
    Ok(Scanned { runs, stamp: source.stamp() })
}

fn scan_blocks(bytes: &[u8], first: u64, runs: &mut Vec<Run>) {
    for (number, block) in (first..).zip(bytes.chunks(BLOCK_BYTES)) {
        let is_zero = ZERO_BLOCK.get(..block.len()) == Some(block);
        let Ok(number) = u32::try_from(number) else { return };
        match runs.last_mut() {
            _ if is_zero => {}
            Some(last) if last.logical + last.length == number => last.length += 1,
            _ => runs.push(Run { logical: number, length: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_blocks_are_holes_and_a_short_last_block_counts() {
        let mut bytes = vec![0_u8; 3 * BUFFER + 5];
        bytes[4096] = 1;
        bytes[3 * BUFFER + 4] = 1;
        let last = (3 * BUFFER / BLOCK_BYTES) as u32;
        let runs = scan(&bytes.clone().into()).unwrap().runs;
        assert_eq!(runs, [Run { logical: 1, length: 1 }, Run { logical: last, length: 1 }]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        port_content::atomic::write(&path, &bytes).unwrap();
        assert_eq!(scan(&Content::from_host(&path).unwrap()).unwrap().runs, runs);
    }

    #[test]
    fn a_file_that_is_one_hole_has_no_runs() {
        assert!(scan(&vec![0; 10_000].into()).unwrap().runs.is_empty());
        assert!(scan(&Vec::new().into()).unwrap().runs.is_empty());
    }
}
