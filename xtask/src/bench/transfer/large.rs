//! An image of 8 GiB with more than a gigabyte of data in it: how much memory Port takes to push and to pull it.

use super::images::{Builder, Images, Pair};
use super::rounds::{Ground, Stage, Way};
use super::subject::Subject;
use super::{rounds::Taken, tree};
use crate::bench::client::remove;
use crate::bench::sample::Sample;
use crate::failure::Outcome;

const MEBIBYTES: u64 = 8192;
/// Files of 64 MiB beside the system, and how many more its successor has.
const FILLER: u64 = 24;
const FILLER_OF_UPDATE: u64 = 2;

/// What was found.
pub(super) struct Large {
    pub(super) size: u64,
    /// What of it is not a hole.
    pub(super) allocated: u64,
    /// In the order of [`Stage::ALL`].
    pub(super) taken: Vec<Taken>,
}

impl Large {
    /// The most memory of all stages.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.taken.iter().map(|taken| taken.run.peak_bytes).max().unwrap_or(0)
    }

    pub(super) fn stages(&self) -> impl Iterator<Item = (Stage, &Taken)> {
        Stage::ALL.into_iter().zip(&self.taken)
    }
}

/// Builds it and its successor, and moves both once.
pub(super) fn run(
    ground: &Ground,
    port: &dyn Subject,
    builder: &Builder<'_>,
    images: &Images,
) -> Outcome<Large> {
    let directory = builder.directory.join("trees/large");
    tree::clone(&images.tree, &directory)?;
    tree::fill(&directory, 0..FILLER)?;
    let old = Sample::of(&builder.image("large-1", "ext4", Some(MEBIBYTES), &directory)?)?;
    tree::fill(&directory, FILLER..FILLER + FILLER_OF_UPDATE)?;
    let new = Sample::of(&builder.image("large-2", "ext4", Some(MEBIBYTES), &directory)?)?;
    remove(&directory)?;
    let (size, allocated) = (old.size, tree::allocated(old.path())?);
    let pair = Pair { name: "8 GiB", old, new, old_compressed: 0, new_compressed: 0 };
    let taken = ground.turn(port, &pair, Way::Timed)?;
    Ok(Large { size, allocated, taken })
}
