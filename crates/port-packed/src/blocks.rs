//! A raw image as blocks: which of them may hold data, and their bytes.
//!
//! The last block is padded with zeros for matching and packing; nothing beyond the image's size is ever written.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use port_content::sparse;

use crate::PackedError;
use crate::limit::{BLOCK, IMAGE_BYTES};
use crate::map::blocks_of;

/// What a write to an image changes, as it was before the image was read: none may have come meanwhile.
#[derive(Debug)]
pub(crate) struct AtRest<'a> {
    file: &'a File,
    role: &'static str,
    before: [i64; 3],
}

impl<'a> AtRest<'a> {
    pub(crate) fn of(file: &'a File, role: &'static str) -> Result<Self, PackedError> {
        Ok(Self { file, role, before: stamp(file, role)? })
    }

    pub(crate) fn check(&self) -> Result<(), PackedError> {
        match stamp(self.file, self.role)? == self.before {
            true => Ok(()),
            false => Err(PackedError::Changed),
        }
    }
}

/// The change time is no part of it: it moves also when the file gets another name, as a blob of a store does.
fn stamp(file: &File, role: &'static str) -> Result<[i64; 3], PackedError> {
    let metadata = file.metadata().map_err(PackedError::read(role))?;
    Ok([metadata.len().cast_signed(), metadata.mtime(), metadata.mtime_nsec()])
}

/// An open image; reads are positioned, so that threads share it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks<'a> {
    file: &'a File,
    size: u64,
    role: &'static str,
}

impl<'a> Blocks<'a> {
    /// `role` names the image in errors: `the image`, `the parent image`.
    pub(crate) fn open(file: &'a File, role: &'static str) -> Result<Self, PackedError> {
        let size = file.metadata().map_err(PackedError::read(role))?.len();
        if size > IMAGE_BYTES {
            return Err(PackedError::TooLarge { subject: role, limit: IMAGE_BYTES, found: size });
        }
        Ok(Self { file, size, role })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn count(&self) -> u32 {
        blocks_of(self.size)
    }

    /// Fills `buffer` with the blocks from `first` on; beyond the image's end it is zero.
    pub(crate) fn read(&self, first: u32, buffer: &mut [u8]) -> Result<(), PackedError> {
        let start = u64::from(first) * BLOCK as u64;
        let inside = usize::try_from(self.size.saturating_sub(start)).unwrap_or(usize::MAX).min(buffer.len());
        let (data, padding) = buffer.split_at_mut(inside);
        padding.fill(0);
        self.file.read_exact_at(data, start).map_err(PackedError::read(self.role))
    }

    /// Runs of blocks that may hold data, as first block and length, in order; holes are left out.
    pub(crate) fn data_runs(&self) -> Result<Vec<(u32, u32)>, PackedError> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let mut position = 0;
        while position < self.size {
            let found =
                sparse::next_data(self.file, position, self.size).map_err(PackedError::read(self.role))?;
            let Some((start, end)) = found else { break };
            let first = (start / BLOCK as u64) as u32;
            let end_block = blocks_of(end);
            match runs.last_mut() {
                // File systems with smaller blocks may say that two runs share one of ours.
                Some((before, length)) if *before + *length >= first => {
                    *length = (*length).max(end_block.saturating_sub(*before));
                }
                _ => runs.push((first, end_block.saturating_sub(first))),
            }
            position = end.max(position + 1);
        }
        Ok(runs)
    }
}

/// Cuts runs into pieces of at most `most` blocks.
pub(crate) fn cut(runs: &[(u32, u32)], most: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
    runs.iter().flat_map(move |&(first, length)| {
        (0..length).step_by(most as usize).map(move |at| (first + at, most.min(length - at)))
    })
}
