//! What is going on: how far each task is, and which transfers fetch for which task. Nothing is shown here.
//!
//! ```text
//! planned ─► started ─► advanced … ─► finished        of the task that makes a file
//!     └► started ─► advanced … ─► finished            of each transfer that it named: also counted as fetched for it
//! ```

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What a task needs, and what of it is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Bytes that lie here.
    pub(super) found: u64,
    /// Bytes to fetch.
    pub(super) fetch: u64,
    /// Bytes that were fetched so far.
    pub(super) fetched: u64,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// When it was first heard of.
    pub(super) since: Instant,
    /// Bytes that are done.
    pub(super) done: u64,
    /// Bytes to be done.
    pub(super) total: Option<u64>,
    /// Where it was planned.
    pub(super) plan: Option<Plan>,
}

impl Task {
    /// Bytes per second since the task was first heard of; nothing while that is no time at all.
    pub(super) fn rate(&self, bytes: u64, now: Instant) -> Option<u64> {
        let elapsed = now.saturating_duration_since(self.since);
        (elapsed >= Duration::from_millis(1)).then(|| (bytes as f64 / elapsed.as_secs_f64()) as u64)
    }
}

/// The tasks that are going on.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    tasks: HashMap<String, Task>,
    /// From a transfer to the task that it fetches for.
    transfers: HashMap<String, String>,
}

impl Tasks {
    pub(super) fn planned(&mut self, task: &str, plan: Plan, transfers: Vec<String>, now: Instant) {
        self.transfers.extend(transfers.into_iter().map(|transfer| (transfer, task.to_owned())));
        let planned = Task { since: now, done: 0, total: None, plan: Some(plan) };
        self.tasks.insert(task.to_owned(), planned);
    }

    /// A task that was planned keeps its plan; one of the same name that did not finish is forgotten.
    pub(super) fn started(&mut self, task: &str, total: Option<u64>, now: Instant) {
        let planned = self.tasks.remove(task).filter(|known| known.plan.is_some() && known.total.is_none());
        let fresh = Task { since: now, done: 0, total: None, plan: None };
        self.tasks.insert(task.to_owned(), Task { total, ..planned.unwrap_or(fresh) });
    }

    /// Counts; returns the name of the task that the bytes were fetched for, where `task` is a transfer.
    pub(super) fn advanced(&mut self, task: &str, bytes: u64) -> Option<String> {
        if let Some(known) = self.tasks.get_mut(task) {
            known.done = known.done.saturating_add(bytes);
        }
        let whole = self.transfers.get(task)?.clone();
        let plan = self.tasks.get_mut(&whole)?.plan.as_mut()?;
        plan.fetched = plan.fetched.saturating_add(bytes);
        Some(whole)
    }

    pub(super) fn finished(&mut self, task: &str) -> Option<Task> {
        self.transfers.retain(|_, whole| whole != task);
        self.tasks.remove(task)
    }

    pub(super) fn get(&self, task: &str) -> Option<&Task> {
        self.tasks.get(task)
    }

    /// Whether the task fetches for another one, which says so.
    pub(super) fn is_transfer(&self, task: &str) -> bool {
        self.transfers.contains_key(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_transfer_brings_is_fetched_for_its_task_and_for_no_other() {
        let (mut tasks, now) = (Tasks::default(), Instant::now());
        let plan = Plan { found: 70, fetch: 10, fetched: 0 };
        tasks.planned("assemble a", plan, vec!["pull 1".to_owned(), "pull 2".to_owned()], now);
        tasks.started("assemble a", Some(100), now);
        for transfer in ["pull 1", "pull 2", "pull 3"] {
            tasks.started(transfer, Some(4), now);
            let whole = tasks.advanced(transfer, 4);
            assert_eq!(whole.as_deref(), (transfer != "pull 3").then_some("assemble a"), "{transfer}");
            assert_eq!(tasks.finished(transfer).unwrap().done, 4);
        }
        assert_eq!(tasks.advanced("assemble a", 100), None);
        let task = tasks.finished("assemble a").unwrap();
        assert_eq!((task.done, task.total), (100, Some(100)));
        assert_eq!(task.plan, Some(Plan { fetched: 8, ..plan }));
        assert!(!tasks.is_transfer("pull 1"));
        assert_eq!(task.rate(100, now), None);
        assert_eq!(task.rate(100, now + Duration::from_secs(2)), Some(50));
    }

    #[test]
    fn a_task_that_starts_anew_counts_anew() {
        let (mut tasks, now) = (Tasks::default(), Instant::now());
        tasks.started("pull 1", Some(4), now);
        tasks.advanced("pull 1", 3);
        tasks.started("pull 1", Some(4), now);
        tasks.advanced("pull 1", 4);
        assert_eq!(tasks.get("pull 1").map(|task| task.done), Some(4));
    }
}
