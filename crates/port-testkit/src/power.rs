//! Power cuts, simulated at the one place through which Port changes files (`port_content::witness`).
//!
//! ```text
//! Recorder ─ steps of a verb ─► crashes: at each step, every subset of what was not flushed ─► a directory for each
//! ```
//!
//! The disk is a harsh one: what was written is there after a cut only where the file was flushed; a name is what it became only where
//! its directory was flushed, and each name by itself; a write may be half there. Where more is open at a time than all subsets can be
//! tried of, what is tried is none, all, each alone, all without each, every beginning, and some by lot.

mod disk;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use port_content::witness::{Step, Witness};

pub use disk::Tree;
use disk::{Change, Disk};

/// Of how many open changes all subsets are tried.
const ALL_SUBSETS: usize = 10;
/// How many are drawn by lot of more.
const DRAWN: usize = 300;

/// A directory for one simulated disk: in memory where the system has such a place, since nothing here asks a real disk to flush.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Keeps what is done to files below a directory.
#[derive(Debug)]
pub struct Recorder {
    root: PathBuf,
    ignored: Vec<PathBuf>,
    before: Disk,
    kept: RefCell<Kept>,
}

#[derive(Debug)]
struct Kept {
    disk: Disk,
    changes: Vec<Change>,
}

/// What a cut left, and when.
#[derive(Debug, Clone)]
pub struct Crash {
    /// After how many changes.
    pub at: usize,
    /// What is on the disk.
    pub tree: Tree,
}

impl Recorder {
    /// From what is below `root` now, all of it flushed. What lies below an ignored name is not looked at.
    pub fn new(root: &Path, ignored: &[&str]) -> Self {
        let ignored: Vec<PathBuf> = ignored.iter().map(PathBuf::from).collect();
        let before = Disk::read(root, &ignored);
        let kept = RefCell::new(Kept { disk: before.clone(), changes: Vec::new() });
        Self { root: root.to_owned(), ignored, before, kept }
    }

    /// How many changes there were.
    pub fn changes(&self) -> usize {
        self.kept.borrow().changes.len()
    }

    /// Compares what was seen with what is there.
    ///
    /// # Panics
    /// Where something changed unseen: then no simulation says anything.
    #[track_caller]
    pub fn saw_everything(&self) {
        assert_eq!(self.kept.borrow().disk.tree(), Disk::read(&self.root, &self.ignored).tree());
    }

    /// Every different disk that a cut may have left.
    pub fn crashes(&self) -> Vec<Crash> {
        let kept = self.kept.borrow();
        let mut seen = HashSet::new();
        let mut crashes = Vec::new();
        for at in 0..=kept.changes.len() {
            let done = kept.changes.get(..at).unwrap_or_default();
            let open: Vec<usize> = (0..at).filter(|index| is_open(done, *index)).collect();
            for lost in subsets(&open) {
                let tree = self.before.after(done, &lost).tree();
                if seen.insert(tree.clone()) {
                    crashes.push(Crash { at, tree });
                }
            }
        }
        crashes
    }
}

impl Witness for Recorder {
    fn sees(&self, step: &Step<'_>) -> io::Result<Option<usize>> {
        let kept = &mut *self.kept.borrow_mut();
        let below = |path: &Path| {
            let path = path.strip_prefix(&self.root).ok()?;
            (!self.ignored.iter().any(|ignored| path.starts_with(ignored))).then(|| path.to_owned())
        };
        for change in kept.disk.changes(step, below) {
            kept.disk.apply(&change);
            kept.changes.push(change);
        }
        Ok(None)
    }
}

/// Whether a cut may lose this change, after all of these.
fn is_open(done: &[Change], index: usize) -> bool {
    let Some((change, later)) = done.get(index..).and_then(<[Change]>::split_first) else { return false };
    !later.iter().any(|flush| flush.keeps(change))
}

/// What of the open changes is lost, each time.
fn subsets(open: &[usize]) -> Vec<BTreeSet<usize>> {
    let all = || open.iter().copied();
    if open.len() <= ALL_SUBSETS {
        let chosen = |bits: usize| all().enumerate().filter(move |(at, _)| bits >> at & 1 == 1);
        return (0..1_usize << open.len())
            .map(|bits| chosen(bits).map(|(_, index)| index).collect())
            .collect();
    }
    let mut subsets = vec![BTreeSet::new(), all().collect()];
    for (at, one) in open.iter().enumerate() {
        subsets.push(BTreeSet::from([*one]));
        subsets.push(all().filter(|other| other != one).collect());
        subsets.push(all().skip(at).collect());
    }
    // The same lots each time: what fails once fails again.
    let mut lot = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..DRAWN {
        let drawn = all().filter(|_| {
            lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            lot >> 63 == 1
        });
        subsets.push(drawn.collect());
    }
    subsets
}
