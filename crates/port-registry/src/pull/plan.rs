//! Who fetches which range of a blob: large runs first, smaller ones later, and the idle take from the slow.
//!
//! Pure. Invariant: at every moment the ranges done, the ranges running and the ranges waiting cover what is wanted, and
//! no byte is in two of them. A plain stream (of a server that answers no ranges) is the exception: it runs over what
//! others still fetch or have fetched, and what it covers waits no more. The plan then [says](Plan::overlapped) that bytes may have
//! been written twice, so that nobody goes by what was read of them before the end.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

/// A run is taken from only if it would need at least this long for the rest: what is on its way to it is lost.
const WORTH_IT: Duration = Duration::from_secs(2);
/// A run is not judged before this.
const TOO_EARLY: Duration = Duration::from_millis(500);

/// How many parts a run may have at most: what one request asks for.
const LONGEST_RUN: u64 = 8;

/// The plan of one download.
#[derive(Debug)]
pub(crate) struct Plan {
    waiting: VecDeque<Range<u64>>,
    running: BTreeMap<u64, Running>,
    next_id: u64,
    /// The run that is a plain stream, if there is one.
    stream: Option<u64>,
    overlapped: bool,
    part: u64,
    connections: u64,
    /// Ends of the contiguous ranges that are done, by their start.
    done: BTreeMap<u64, u64>,
}

/// A run that somebody fetches: what is left of it, where and when it began.
#[derive(Debug)]
struct Running {
    left: Range<u64>,
    start: u64,
    began: Duration,
}

impl Running {
    /// How long the rest will take, as far as can be told by now.
    fn needs(&self, now: Duration) -> Duration {
        let elapsed = now.saturating_sub(self.began);
        if elapsed < TOO_EARLY {
            return Duration::ZERO;
        }
        let done = (self.left.start - self.start).max(1);
        elapsed.mul_f64((self.left.end - self.left.start) as f64 / done as f64)
    }
}

impl Plan {
    /// A plan for what of `wanted` is not done yet. Both are sorted, and their ranges do not touch.
    pub(crate) fn new(wanted: &[Range<u64>], done: &[Range<u64>], part: u64, connections: usize) -> Self {
        let mut waiting = VecDeque::new();
        for wish in wanted {
            let mut position = wish.start;
            for range in done.iter().filter(|range| range.start < wish.end && range.end > wish.start) {
                if range.start > position {
                    waiting.push_back(position..range.start);
                }
                position = range.end;
            }
            if position < wish.end {
                waiting.push_back(position..wish.end);
            }
        }
        let done = done.iter().map(|range| (range.start, range.end)).collect();
        let (part, connections) = (part.max(1), connections.max(1) as u64);
        Self {
            waiting,
            running: BTreeMap::new(),
            next_id: 0,
            stream: None,
            overlapped: false,
            part,
            connections,
            done,
        }
    }

    /// How many requests at once are of use.
    pub(crate) fn width(&self) -> usize {
        let parts = usize::try_from(self.left().div_ceil(self.part)).unwrap_or(usize::MAX);
        parts.max(self.waiting.len())
    }

    /// Bytes that nobody has taken yet.
    pub(crate) fn left(&self) -> u64 {
        self.waiting.iter().map(|range| range.end - range.start).sum()
    }

    /// How many bytes from the start on are done.
    pub(crate) fn frontier(&self) -> u64 {
        self.done.get(&0).copied().unwrap_or(0)
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// The next run for an idle worker: a waiting one, or the tail half of the slowest one that is running. `now` counts
    /// from any fixed moment.
    pub(crate) fn take(&mut self, now: Duration) -> Option<(u64, Range<u64>)> {
        let range = self.take_waiting().or_else(|| self.steal(now))?;
        Some((self.run(range.clone(), now), range))
    }

    fn run(&mut self, range: Range<u64>, now: Duration) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.running.insert(id, Running { start: range.start, left: range, began: now });
        id
    }

    /// From the first byte that is not done to the end, as one run: for a registry that does not answer ranges, where all
    /// comes whatever is wanted. `None` where nothing waits, and where somebody fetches such a run already.
    pub(crate) fn take_rest(&mut self, size: u64) -> Option<(u64, Range<u64>)> {
        if self.stream.is_some() {
            return None;
        }
        let start = self.waiting.iter().map(|range| range.start).min()?.min(self.frontier());
        self.waiting.clear();
        // Two writers for one place: another run that goes on, or what is there already.
        let there = self.done.last_key_value().is_some_and(|(_, end)| *end > start);
        self.overlapped |= there || !self.running.is_empty();
        // Nobody takes from it, so that its time does not matter.
        let id = self.run(start..size, Duration::ZERO);
        self.stream = Some(id);
        Some((id, start..size))
    }

    /// Whether a byte may have been written after it was done.
    pub(crate) fn overlapped(&self) -> bool {
        self.overlapped
    }

    fn take_waiting(&mut self) -> Option<Range<u64>> {
        let parts = self.left().div_ceil(self.part);
        let run = (parts / (2 * self.connections)).clamp(1, LONGEST_RUN) * self.part;
        let first = self.waiting.front_mut()?;
        // Runs end at multiples of a part, so that a rerun asks for the same ranges.
        let end = (first.start.saturating_add(run) / self.part * self.part).max(first.start + 1);
        let end = end.min(first.end);
        let end = if first.end.saturating_sub(end) < self.part / 2 { first.end } else { end };
        let run = first.start..end;
        first.start = end;
        if first.start == first.end {
            self.waiting.pop_front();
        }
        Some(run)
    }

    fn steal(&mut self, now: Duration) -> Option<Range<u64>> {
        let victim = self.running.values_mut().max_by_key(|run| run.needs(now))?;
        let left = victim.left.end - victim.left.start;
        if victim.needs(now) < WORTH_IT || left < self.part / 8 {
            return None;
        }
        let middle = victim.left.start + left / 2;
        let stolen = middle..victim.left.end;
        victim.left.end = middle;
        Some(stolen)
    }

    /// A run got to `position`; returns where it has to stop now.
    pub(crate) fn advance(&mut self, id: u64, position: u64) -> u64 {
        match self.running.get_mut(&id) {
            Some(run) => {
                run.left.start = position.min(run.left.end);
                run.left.end
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
        if self.stream == Some(id) {
            self.stream = None;
        }
        if let Some(run) = self.running.remove(&id).filter(|run| !run.left.is_empty()) {
            self.waiting.push_front(run.left);
        }
        self.forget_done();
    }

    /// What a plain stream brought in passing waits no more.
    fn forget_done(&mut self) {
        let done = &self.done;
        self.waiting.retain(|waits| {
            let before = done.range(..=waits.start).next_back();
            before.is_none_or(|(_, end)| *end < waits.end)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    fn whole(size: u64) -> Vec<Range<u64>> {
        std::iter::once(0..size).collect()
    }

    #[test]
    fn only_what_is_wanted_and_not_done_waits() {
        let check = |wanted: &[Range<u64>], done: &[Range<u64>], expected: &[Range<u64>]| {
            let plan = Plan::new(wanted, done, 10, 2);
            assert_eq!(plan.waiting, expected, "{wanted:?} {done:?}");
            assert!(plan.width() >= expected.len());
        };
        check(&[3..5, 20..30], &[], &[3..5, 20..30]);
        check(&[3..5, 20..30], &[0..4, 25..27], &[4..5, 20..25, 27..30]);
        check(&[3..5, 20..30], &[0..15, 16..40], &[]);
        check(&[3..5, 20..30], &[0..3, 5..20, 30..40], &[3..5, 20..30]);
    }

    #[test]
    fn a_plain_stream_takes_all_that_waits_wherever_it_waits() {
        let mut plan = Plan::new(&whole(40), &[], 10, 2);
        let (first, _) = plan.take(START).unwrap();
        let (second, _) = plan.take(START).unwrap();
        let (third, _) = plan.take(START).unwrap();
        plan.release(first);
        plan.release(second);
        let (stream, rest) = plan.take_rest(40).unwrap();
        assert_eq!(rest, 0..40, "the first byte, not the one that waits longest");
        plan.release(third);
        assert_eq!(plan.take_rest(40), None, "one stream is enough");
        assert!(plan.overlapped(), "the third was still running");
        plan.finish(0..40);
        plan.advance(stream, 40);
        plan.release(stream);
        assert!(plan.is_over());
    }

    #[test]
    fn a_stream_says_where_it_writes_what_was_written() {
        let overlapped = |done: &[Range<u64>]| {
            let mut plan = Plan::new(&whole(40), done, 10, 2);
            let (first, _) = plan.take(START).unwrap();
            assert!(!plan.overlapped());
            plan.release(first);
            plan.take_rest(40).unwrap();
            plan.overlapped()
        };
        assert!(!overlapped(&[]) && !overlapped(&whole(20)), "it begins behind them");
        assert!(overlapped(&[5..6, 20..30]));
        assert!(overlapped(&[0..20, 30..31]));
    }

    #[test]
    fn what_a_stream_brought_in_passing_is_not_fetched_again() {
        let mut plan = Plan::new(&whole(40), &[], 10, 2);
        let (slow, run) = plan.take(START).unwrap();
        assert_eq!(run, 0..10);
        let (id, _) = plan.take(START).unwrap();
        plan.release(id);
        let (stream, _) = plan.take_rest(40).unwrap();
        plan.finish(0..40);
        plan.advance(stream, 40);
        plan.release(stream);
        plan.release(slow);
        assert!(plan.is_over(), "{plan:?}");
    }

    #[test]
    fn the_idle_take_from_the_slow_and_no_byte_is_taken_twice() {
        let done: Vec<Range<u64>> = std::iter::once(10..20).collect();
        let mut plan = Plan::new(&whole(100), &done, 10, 2);
        let (slow, first) = plan.take(START).unwrap();
        assert_eq!(first, 0..10);
        plan.advance(slow, 2);
        let mut expected = 20;
        while plan.left() > 0 {
            let (id, run) = plan.take(START).unwrap();
            assert_eq!(run.start, expected);
            expected = run.end;
            plan.advance(id, run.end);
            plan.finish(run);
            plan.release(id);
        }
        assert_eq!(expected, 100);
        let seconds = Duration::from_secs;
        assert!(plan.take(Duration::from_millis(400)).is_none(), "too early to tell");
        assert!(plan.take(Duration::from_millis(600)).is_some(), "it needs 2.4 seconds more");
        assert!(plan.take(seconds(0)).is_none());
        assert_eq!(plan.advance(slow, 9), 6, "the victim stops where the thief began");
        plan.finish(0..6);
        plan.release(slow);
        let (thief, stolen) = plan.take(seconds(60)).unwrap();
        assert_eq!(stolen, 8..10, "half of the thief's half");
        plan.finish(6..10);
        plan.release(thief);
        assert_eq!(plan.frontier(), 100);
    }

    #[test]
    fn what_a_run_did_not_do_waits_again() {
        let mut plan = Plan::new(&whole(30), &[], 10, 1);
        let (id, run) = plan.take(START).unwrap();
        assert_eq!(run, 0..10);
        plan.advance(id, 4);
        plan.release(id);
        assert_eq!(plan.take(START).unwrap().1, 4..10);
        assert_eq!(plan.left(), 20);
    }

    /// Workers that take, get on, fail and stream in any order: in the end all that was wanted is done.
    #[test]
    fn whatever_happens_all_that_is_wanted_gets_done() {
        let mut state = 7u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below.max(1)
        };
        for _ in 0..300 {
            let (from, to) = (random(100), 100 + random(100));
            let wanted = [from..from + random(60).max(1).min(100 - from), to.max(101)..200];
            let done: Vec<Range<u64>> = (0..random(2)).map(|n| n * 50..n * 50 + 20).collect();
            let mut there: Vec<bool> =
                (0..200).map(|byte| done.iter().any(|range| range.contains(&byte))).collect();
            let mut plan = Plan::new(&wanted, &done, 1 + random(20), 3);
            let mut workers: Vec<(u64, u64)> = Vec::new();
            for step in 0.. {
                assert!(step < 10_000, "it does not end: {plan:?}");
                match random(8) {
                    0..3 if workers.len() < 3 => {
                        let now = Duration::from_millis(step * 400);
                        workers.extend(plan.take(now).map(|(id, range)| (id, range.start)));
                    }
                    3 => workers.extend(plan.take_rest(200).map(|(id, range)| (id, range.start))),
                    4 if !workers.is_empty() => {
                        plan.release(workers.remove(random(workers.len() as u64) as usize).0);
                    }
                    _ if !workers.is_empty() => {
                        let at = random(workers.len() as u64) as usize;
                        let (id, position) = workers[at];
                        let target = position + 1 + random(30);
                        let end = plan.advance(id, target);
                        let reached = end.min(target);
                        if reached > position {
                            there[position as usize..reached as usize].fill(true);
                            plan.finish(position..reached);
                        }
                        workers[at].1 = reached.max(position);
                        if reached >= end {
                            plan.release(workers.remove(at).0);
                        }
                    }
                    _ if plan.is_over() => break,
                    _ => {}
                }
            }
            for range in wanted {
                assert!(range.clone().all(|byte| there[byte as usize]), "{range:?} of {plan:?}");
            }
        }
    }
}
