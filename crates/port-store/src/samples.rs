//! A few blocks of a large file, remembered when it was hashed, so that rot below the file system is noticed when the file is
//! handed out again: size and times stay as they are when a disk forgets.
//!
//! | | how many | which |
//! | --- | --- | --- |
//! | remembered | 256 blocks of 4 KiB | one at random of each 256th part of the data; holes are no data |
//! | compared each time | 16 of them | one at random of each 16th part of those |
//!
//! Where a share `f` of the data rots, scattered, one look finds it with a probability of `1 - (1 - f)^16`: 10 % of it in 81 of 100 looks,
//! 25 % in 99. A damaged stretch of an eighth of the data or more is found always. This is no proof of soundness: a single
//! rotten block is found by [`Store::verify`](crate::Store::verify), which reads everything.
//!
//! The choice is random, not by a clock or a counter: whoever looks again looks elsewhere, also at a store that cannot be written.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::FileExt as _;

use port_content::{hashing, sparse};
use serde::{Deserialize, Serialize};

/// Smaller files are read whole by whoever uses them, or cheap to lose.
pub(crate) const LARGE: u64 = 1024 * 1024;
/// How many blocks are remembered.
const REMEMBERED: u64 = 256;
/// How many are compared at one look.
const COMPARED: u64 = 16;
/// The most runs of data that are told apart; what follows counts as one.
const MOST_RUNS: usize = 65_536;
const BLOCK: u64 = sparse::BLOCK as u64;

/// Blocks and their checksums, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Samples(Vec<(u64, u32)>);

impl Samples {
    /// Remembers blocks of a file that was just hashed.
    pub(crate) fn take(file: &File, size: u64) -> io::Result<Self> {
        let runs = data_runs(file, size)?;
        let total = runs.iter().map(|(_, blocks)| blocks).sum();
        let mut runs = runs.into_iter().peekable();
        let mut passed = 0;
        let mut chosen = Vec::new();
        for wanted in one_of_each(total, REMEMBERED) {
            // Both go up, so the run of a block is at the one before it or later.
            while let Some((_, blocks)) = runs.next_if(|(_, blocks)| passed + blocks <= wanted) {
                passed += blocks;
            }
            let Some((start, _)) = runs.peek() else { break };
            chosen.push(start + (wanted - passed));
        }
        will_read(file, &chosen);
        let sample = |block: u64| Ok((block, checksum(file, size, block)?));
        chosen.into_iter().map(sample).collect::<io::Result<_>>().map(Self)
    }

    /// Whether some of them, others each time, are as they were.
    pub(crate) fn hold(&self, file: &File, size: u64) -> io::Result<bool> {
        let chosen = one_of_each(self.0.len() as u64, COMPARED);
        let chosen = chosen.filter_map(|chosen| self.0.get(usize::try_from(chosen).ok()?).copied());
        let (blocks, sums): (Vec<u64>, Vec<u32>) = chosen.unzip();
        will_read(file, &blocks);
        for (block, expected) in blocks.into_iter().zip(sums) {
            if checksum(file, size, block)? != expected {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn will_read(file: &File, blocks: &[u64]) {
    sparse::will_read(file, blocks.iter().map(|block| block.saturating_mul(BLOCK)), BLOCK);
}

/// Cuts `0..total` into at most `parts` parts and gives one number of each, at random, in their order.
fn one_of_each(total: u64, parts: u64) -> impl Iterator<Item = u64> {
    // The standard library seeds this from the operating system, anew in each process.
    let random = RandomState::new();
    let parts = parts.min(total);
    let edge = move |part: u64| {
        let edge = u128::from(total) * u128::from(part) / u128::from(parts.max(1));
        u64::try_from(edge).unwrap_or(total)
    };
    (0..parts).map(move |part| {
        let (start, end) = (edge(part), edge(part + 1));
        start + random.hash_one(part) % (end - start).max(1)
    })
}

/// The runs of data: first block, number of blocks.
fn data_runs(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut position = 0;
    while let Some((start, mut end)) = sparse::next_data(file, position, size)? {
        if runs.len() + 1 >= MOST_RUNS {
            end = size;
        }
        // A run that begins where the last ended within a block is counted without that block.
        let after = runs.last().map_or(0, |(start, blocks)| start + blocks);
        let first = (start / BLOCK).max(after);
        let behind = end.div_ceil(BLOCK);
        if behind > first {
            runs.push((first, behind - first));
        }
        position = end;
    }
    Ok(runs)
}

/// The first 32 bits of the block's SHA-256: this is for rot, which does not choose its bits.
fn checksum(file: &File, size: u64, block: u64) -> io::Result<u32> {
    let start = block.saturating_mul(BLOCK);
    let length = usize::try_from(size.saturating_sub(start).min(BLOCK)).unwrap_or(sparse::BLOCK);
    let mut buffer = [0; sparse::BLOCK];
    let bytes = buffer.get_mut(..length).unwrap_or_default();
    file.read_exact_at(bytes, start)?;
    let digest = hashing::digest_of(bytes);
    let short = digest.hex().get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    short.ok_or_else(|| io::Error::other("a SHA-256 without 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use port_content::fs;

    const DATA: u64 = 600;

    /// A file with holes before, between and after its runs, and an odd end.
    fn image(directory: &tempfile::TempDir) -> (File, u64) {
        let file = fs::create_scratch(&directory.path().join("image")).unwrap();
        let size = 4000 * BLOCK + 77;
        file.set_len(size).unwrap();
        for block in (100..400).chain(2000..2299).chain([4000]) {
            let start = block * BLOCK;
            let length = usize::try_from((size - start).min(BLOCK)).unwrap();
            file.write_all_at(&[u8::try_from(block % 251).unwrap() + 1; sparse::BLOCK][..length], start)
                .unwrap();
        }
        (file, size)
    }

    #[test]
    fn one_of_each_part_in_order() {
        for (total, parts) in [(0, 4), (1, 4), (3, 4), (4, 4), (1000, 7), (u64::MAX, 16)] {
            let found: Vec<u64> = one_of_each(total, parts).collect();
            assert_eq!(found.len() as u64, parts.min(total), "{total} in {parts}");
            assert!(found.iter().all(|number| *number < total) && found.is_sorted());
            assert!(found.windows(2).all(|pair| pair[0] != pair[1]), "{found:?}");
        }
    }

    #[test]
    fn samples_are_of_data_and_hold_until_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let (file, size) = image(&directory);
        let samples = Samples::take(&file, size).unwrap();
        assert_eq!(samples.0.len() as u64, REMEMBERED);
        let is_data =
            |block: u64| (100..400).contains(&block) || (2000..2299).contains(&block) || block == 4000;
        assert!(samples.0.iter().all(|(block, _)| is_data(*block)), "{samples:?}");
        let runs = data_runs(&file, size).unwrap();
        assert_eq!(runs.iter().map(|(_, blocks)| blocks).sum::<u64>(), DATA);
        for _ in 0..20 {
            assert!(samples.hold(&file, size).unwrap());
        }
        // An eighth of the data in one stretch is seen by every look.
        file.write_all_at(&vec![0xff; 80 * sparse::BLOCK], 2000 * BLOCK).unwrap();
        for _ in 0..20 {
            assert!(!samples.hold(&file, size).unwrap());
        }
        assert!(samples.hold(&file, BLOCK).is_err() || !samples.hold(&file, BLOCK).unwrap());
    }

    #[test]
    fn one_rotten_block_is_found_sooner_or_later_where_it_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let (file, size) = image(&directory);
        let samples = Samples::take(&file, size).unwrap();
        file.write_all_at(b"rot", samples.0[10].0 * BLOCK).unwrap();
        // Each look has one chance in sixteen; 2000 looks miss it once in 10^56.
        assert!((0..2000).any(|_| !samples.hold(&file, size).unwrap()));
    }

    #[test]
    fn nothing_but_a_hole_holds() {
        let directory = tempfile::tempdir().unwrap();
        let file = fs::create_scratch(&directory.path().join("hole")).unwrap();
        file.set_len(LARGE * 4).unwrap();
        let samples = Samples::take(&file, LARGE * 4).unwrap();
        assert!(samples.hold(&file, LARGE * 4).unwrap());
    }
}
