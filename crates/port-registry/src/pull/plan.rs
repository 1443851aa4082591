//! Who fetches which range of a blob: large runs first, smaller ones later, and the idle take from the slow.
//!
//! Pure. Invariant: at every moment the ranges done, the ranges running and the ranges waiting cover the blob, and no
//! byte is in two of them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// How many parts a run may have at most: what one request asks for.
const LONGEST_RUN: u64 = 8;

/// The plan of one download.
#[derive(Debug)]
pub(crate) struct Plan {
    waiting: VecDeque<Range<u64>>,
    running: BTreeMap<u64, Range<u64>>,
    next_id: u64,
    part: u64,
    connections: u64,
    /// Ends of the contiguous ranges that are done, by their start.
    done: BTreeMap<u64, u64>,
}

impl Plan {
    /// A plan for what is not done yet.
    pub(crate) fn new(size: u64, done: &[Range<u64>], part: u64, connections: usize) -> Self {
        let mut waiting = VecDeque::new();
        let mut position = 0;
        for range in done {
            if range.start > position {
                waiting.push_back(position..range.start);
            }
            position = range.end;
        }
        if position < size {
            waiting.push_back(position..size);
        }
        let done = done.iter().map(|range| (range.start, range.end)).collect();
        let (part, connections) = (part.max(1), connections.max(1) as u64);
        Self { waiting, running: BTreeMap::new(), next_id: 0, part, connections, done }
    }

    /// Bytes that nobody has taken yet.
    pub(crate) fn left(&self) -> u64 {
        self.waiting.iter().map(|range| range.end - range.start).sum()
    }

    /// How many bytes from the start on are done.
    pub(crate) fn frontier(&self) -> u64 {
        self.done.get(&0).copied().unwrap_or(0)
    }

    /// The next run for an idle worker: a waiting one, or the tail half of the longest one that is running.
    pub(crate) fn take(&mut self) -> Option<(u64, Range<u64>)> {
        let range = self.take_waiting().or_else(|| self.steal())?;
        let id = self.next_id;
        self.next_id += 1;
        self.running.insert(id, range.clone());
        Some((id, range))
    }

    /// From the first byte that waits to the end, as one run: for a registry that does not answer ranges.
    pub(crate) fn take_rest(&mut self, size: u64) -> Option<(u64, Range<u64>)> {
        let start = self.waiting.front()?.start;
        self.waiting.clear();
        let id = self.next_id;
        self.next_id += 1;
        self.running.insert(id, start..size);
        Some((id, start..size))
    }

    fn take_waiting(&mut self) -> Option<Range<u64>> {
        let parts = self.left().div_ceil(self.part);
        let run = (parts / (2 * self.connections)).clamp(1, LONGEST_RUN) * self.part;
        let first = self.waiting.front_mut()?;
        // Runs end at multiples of a part, so that a rerun asks for the same ranges.
        let end = (first.start.saturating_add(run) / self.part * self.part).max(first.start + 1);
        let end = if first.end.saturating_sub(end) < self.part / 2 { first.end } else { end };
        let run = first.start..end;
        first.start = end;
        if first.start == first.end {
            self.waiting.pop_front();
        }
        Some(run)
    }

    fn steal(&mut self) -> Option<Range<u64>> {
        let victim = self.running.values_mut().max_by_key(|range| range.end - range.start)?;
        let left = victim.end - victim.start;
        // Below this, asking anew costs more than waiting.
        if left < self.part / 2 {
            return None;
        }
        let middle = victim.start + left / 2;
        let stolen = middle..victim.end;
        victim.end = middle;
        Some(stolen)
    }

    /// A run got to `position`; returns where it has to stop now.
    pub(crate) fn advance(&mut self, id: u64, position: u64) -> u64 {
        match self.running.get_mut(&id) {
            Some(range) => {
                range.start = position.min(range.end);
                range.end
            }
            None => position,
        }
    }

    /// A range was written.
    pub(crate) fn finish(&mut self, range: Range<u64>) {
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&before, &before_end)) = self.done.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&after, &after_end)) = self.done.range(start..).next().filter(|(at, _)| **at <= end) {
            self.done.remove(&after);
            end = end.max(after_end);
        }
        self.done.insert(start, end);
    }

    /// A run is over; what it did not do waits again.
    pub(crate) fn release(&mut self, id: u64) {
        if let Some(range) = self.running.remove(&id).filter(|range| range.start < range.end) {
            self.waiting.push_front(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_take_from_the_slow_and_no_byte_is_taken_twice() {
        let mut plan = Plan::new(100, &[10..20], 10, 2);
        let (slow, first) = plan.take().unwrap();
        assert_eq!(first, 0..10);
        let (quick, second) = plan.take().unwrap();
        assert_eq!(second, 20..40);
        plan.advance(quick, 40);
        plan.finish(20..40);
        plan.release(quick);
        assert_eq!(plan.frontier(), 0);
        while let Some((id, run)) = plan.take_waiting().map(|run| {
            plan.running.insert(99, run.clone());
            (99, run)
        }) {
            plan.advance(id, run.end);
            plan.finish(run);
            plan.release(id);
        }
        let (thief, stolen) = plan.take().unwrap();
        assert_eq!(stolen, 5..10);
        assert_eq!(plan.advance(slow, 5), 5, "the victim stops where the thief began");
        plan.finish(0..5);
        plan.finish(5..10);
        plan.release(thief);
        assert_eq!(plan.frontier(), 100);
    }

    #[test]
    fn what_a_run_did_not_do_waits_again() {
        let mut plan = Plan::new(30, &[], 10, 1);
        let (id, run) = plan.take().unwrap();
        assert_eq!(run, 0..10);
        plan.advance(id, 4);
        plan.release(id);
        assert_eq!(plan.take().unwrap().1, 4..10);
        assert_eq!(plan.left(), 20);
    }
}
