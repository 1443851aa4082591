//! Which bytes of the parent help to compress a frame: those around the place where its blocks would have been.
//!
//! Directories and files stand in the same order in two builds, so the old version of a changed run lies between the
//! matches before and behind it. Pure: block numbers in, block numbers out.

use crate::segments::Segment;
use crate::writer::Runs;

/// Blocks on both sides of a place, tried from the most until all places fit.
const MARGINS: [u32; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 0];
/// A gap between two matches may be this much longer than the new run and still count as its old version.
const SLACK: u64 = 512;

/// A run of new blocks, or the part of it that one frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The parent's block behind the last match before the run.
    before: Option<u32>,
    /// The parent's block of the first match behind the run.
    behind: Option<u32>,
    /// Blocks of the whole run.
    run: u32,
    /// Where in the run the part begins.
    offset: u32,
    length: u32,
}

/// For each new run, in image order: first block, length, and the matches on both sides.
pub(super) struct Neighbours {
    runs: Vec<(u32, Place)>,
}

impl Neighbours {
    /// `segments` and `new` as matching found them; addresses below `parent_blocks` are the parent's.
    pub(super) fn new(segments: &[Segment], new: &[(u32, u32)], parent_blocks: u32) -> Self {
        let matches: Vec<Segment> =
            segments.iter().copied().filter(|segment| segment.source < parent_blocks).collect();
        let place = |&(first, length): &(u32, u32)| {
            let at = matches.partition_point(|segment| segment.target < first);
            let before = at.checked_sub(1).and_then(|at| matches.get(at));
            let place = Place {
                before: before.map(|segment| segment.source_end().min(parent_blocks)),
                behind: matches.get(at).map(|segment| segment.source),
                run: length,
                offset: 0,
                length,
            };
            (first, place)
        };
        Self { runs: new.iter().map(place).collect() }
    }

    /// The places of the runs that make up one frame.
    pub(super) fn of(&self, frame: &Runs) -> Vec<Place> {
        let place = |&(first, length): &(u32, u32)| {
            let at = self.runs.partition_point(|(start, _)| *start <= first).checked_sub(1)?;
            let (start, run) = self.runs.get(at)?;
            Some(Place { offset: first - start, length, ..*run })
        };
        frame.iter().filter_map(place).collect()
    }
}

/// Runs of the parent's data near these places, at most `most` blocks, ascending and apart.
pub(super) fn choose(places: &[Place], data: &[(u32, u32)], most: u32) -> Vec<(u32, u32)> {
    let mut chosen = Vec::new();
    for margin in MARGINS {
        let windows = places.iter().flat_map(|place| place.windows(margin)).collect();
        chosen = within(&joined(windows), data);
        if chosen.iter().map(|(_, length)| u64::from(*length)).sum::<u64>() <= u64::from(most) {
            return chosen;
        }
    }
    truncated(chosen, most)
}

impl Place {
    /// Where the old version may be, with `margin` blocks on both sides.
    fn windows(&self, margin: u32) -> Vec<(u64, u64)> {
        let [run, offset, length, margin] = [self.run, self.offset, self.length, margin].map(u64::from);
        let around = |start: u64, end: u64| (start.saturating_sub(margin), end + margin);
        match (self.before.map(u64::from), self.behind.map(u64::from)) {
            (Some(before), Some(behind)) if before <= behind && behind - before <= 4 * run + SLACK => {
                let gap = behind - before;
                let at = |blocks: u64| before + gap * blocks / run.max(1);
                vec![around(at(offset), at(offset + length))]
            }
            (before, behind) => {
                let first = before.map(|before| around(before + offset, before + offset + length));
                let second = behind.map(|behind| {
                    let start = (behind + offset).saturating_sub(run);
                    around(start, start + length)
                });
                first.into_iter().chain(second).collect()
            }
        }
    }
}

fn joined(mut windows: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    windows.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(windows.len());
    for (start, end) in windows {
        match joined.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// The parts of sorted windows that hold data: holes help nobody.
fn within(windows: &[(u64, u64)], data: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &(start, end) in windows {
        let from = data.partition_point(|(first, length)| u64::from(*first) + u64::from(*length) <= start);
        for &(first, length) in data.get(from..).unwrap_or_default() {
            let low = u64::from(first).max(start);
            let high = (u64::from(first) + u64::from(length)).min(end);
            if low >= high {
                break;
            }
            // Both lie within a run of 32-bit block numbers.
            parts.push((low as u32, (high - low) as u32));
        }
    }
    parts
}

fn truncated(mut runs: Vec<(u32, u32)>, most: u32) -> Vec<(u32, u32)> {
    let mut room = most;
    runs.retain_mut(|(_, length)| {
        *length = (*length).min(room);
        room -= *length;
        *length > 0
    });
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(before: u32, behind: u32, run: u32) -> Place {
        Place { before: Some(before), behind: Some(behind), run, offset: 0, length: run }
    }

    const ALL: &[(u32, u32)] = &[(0, 100_000)];

    #[test]
    fn the_gap_between_two_matches_is_the_reference() {
        assert_eq!(choose(&[place(1000, 1010, 12)], ALL, 10), [(1000, 10)]);
        assert_eq!(choose(&[place(1000, 1010, 12)], ALL, 26), [(992, 26)]);
        // A part in the middle of a long run refers to the middle of the gap.
        let part = Place { offset: 500, length: 100, ..place(1000, 2000, 1000) };
        assert_eq!(choose(&[part], ALL, 100), [(1500, 100)]);
    }

    #[test]
    fn matches_out_of_order_give_two_places() {
        assert_eq!(choose(&[place(5000, 1000, 10)], ALL, 20), [(990, 10), (5000, 10)]);
    }

    #[test]
    fn holes_are_left_out_and_the_sum_is_bounded() {
        let data = &[(1002, 2), (1006, 1)];
        assert_eq!(choose(&[place(1000, 1010, 10)], data, 3), [(1002, 2), (1006, 1)]);
        let many: Vec<Place> = (0..100).map(|n| place(n * 1000, n * 1000 + 10, 10)).collect();
        let chosen = choose(&many, ALL, 95);
        assert_eq!(chosen.iter().map(|(_, length)| length).sum::<u32>(), 95);
        assert!(choose(&[], ALL, 95).is_empty());
        let nothing = Place { before: None, behind: None, run: 5, offset: 0, length: 5 };
        assert!(choose(&[nothing], ALL, 95).is_empty());
    }
}
