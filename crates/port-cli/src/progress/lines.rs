//! Progress for machines: one JSON object per event and line (docs/formats/reports.md).
//!
//! Sums and rates are added, so that nobody needs a clock to show them. Steps of one task that follow each other at
//! once are said as one: their bytes are never lost, only said later.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use port_model::{Event, Reporter};
use serde::Serialize;

use super::tasks::{Plan, Task, Tasks};
use crate::ui::Ui;

/// A task says how far it got at most as often.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Lines {
    ui: Ui,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tasks: Tasks,
    /// For each task: bytes that were not said yet, and when it last said something.
    unsaid: HashMap<String, (u64, Option<Instant>)>,
}

/// An event with what is known besides.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(flatten)]
    sums: Option<Sums>,
}

/// How far a task is.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Sums {
    done: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fetched: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fetched_per_second: Option<u64>,
}

impl Sums {
    fn of(task: &Task, now: Instant) -> Self {
        let fetched = task.plan.map(|plan| plan.fetched);
        Self {
            done: task.done,
            total: task.total,
            bytes_per_second: task.rate(task.done, now),
            fetched,
            fetched_per_second: fetched.and_then(|bytes| task.rate(bytes, now)),
        }
    }
}

impl Lines {
    pub(super) fn new(ui: Ui) -> Self {
        Self { ui, state: Mutex::default() }
    }
}

impl Reporter for Lines {
    fn event(&self, event: Event) {
        // A thread that died while holding the state has not left it half changed.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.take(event, Instant::now(), |event, sums| self.ui.error_json(&Line { event, sums }));
    }
}

impl State {
    fn take(&mut self, event: Event, now: Instant, mut say: impl FnMut(&Event, Option<Sums>)) {
        match &event {
            Event::Planned { task, found, fetch, transfers, .. } => {
                let plan = Plan { found: *found, fetch: *fetch, fetched: 0 };
                self.tasks.planned(task, plan, transfers.clone(), now);
                say(&event, None);
            }
            Event::Started { task, total } => {
                self.tasks.started(task, *total, now);
                self.unsaid.remove(task);
                say(&event, None);
            }
            // Where a transfer found nothing to continue.
            Event::Advanced { bytes: 0, .. } => {}
            Event::Advanced { task, bytes } => {
                let whole = self.tasks.advanced(task, *bytes);
                self.advance(task, *bytes, now, &mut say);
                // What was fetched for a task is news of that task, too.
                if let Some(whole) = whole {
                    self.advance(&whole, 0, now, &mut say);
                }
            }
            Event::Finished { task } => {
                if let Some((bytes @ 1.., _)) = self.unsaid.remove(task) {
                    let last = Event::Advanced { task: task.clone(), bytes };
                    say(&last, self.sums(task, now));
                }
                say(&event, self.sums(task, now));
                self.tasks.finished(task);
            }
            Event::Packed { .. } | Event::Note { .. } => say(&event, None),
        }
    }

    fn advance(&mut self, task: &str, bytes: u64, now: Instant, say: &mut impl FnMut(&Event, Option<Sums>)) {
        let sums = self.sums(task, now);
        let (unsaid, last) = self.unsaid.entry(task.to_owned()).or_default();
        *unsaid = unsaid.saturating_add(bytes);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE) {
            let event = Event::Advanced { task: task.to_owned(), bytes: std::mem::take(unsaid) };
            *last = Some(now);
            say(&event, sums);
        }
    }

    fn sums(&self, task: &str, now: Instant) -> Option<Sums> {
        self.tasks.get(task).map(|task| Sums::of(task, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advanced(task: &str, bytes: u64) -> Event {
        Event::Advanced { task: task.to_owned(), bytes }
    }

    #[test]
    fn steps_are_said_together_and_no_byte_is_lost() {
        let (mut state, start) = (State::default(), Instant::now());
        let mut said: Vec<serde_json::Value> = Vec::new();
        let transfers = vec!["pull 1".to_owned()];
        let task = "assemble a".to_owned();
        let plan = Event::Planned { task: task.clone(), wanted: 90, found: 40, fetch: 20, transfers };
        let begin = |task: &str, total| Event::Started { task: task.to_owned(), total: Some(total) };
        let mut events = vec![(0, plan), (0, begin("assemble a", 90)), (0, begin("pull 1", 20))];
        events.extend((1..=20).map(|at| (at * 20, advanced("pull 1", 1))));
        events.push((401, Event::Finished { task: "pull 1".to_owned() }));
        events.push((500, advanced("assemble a", 90)));
        events.push((1000, Event::Finished { task }));
        for (at, event) in events {
            state.take(event, start + Duration::from_millis(at), |event, sums| {
                said.push(serde_json::to_value(Line { event, sums }).unwrap());
            });
        }
        let steps = |task: &str| {
            let all = said.iter().filter(|line| line["event"] == "advanced" && line["task"] == task);
            all.map(|line| line["bytes"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(steps("pull 1"), [1, 5, 5, 5, 4], "{said:?}");
        assert_eq!(steps("assemble a").iter().sum::<u64>(), 90);
        let last = serde_json::json!({
            "event": "finished", "task": "assemble a", "done": 90, "total": 90, "bytes_per_second": 90,
            "fetched": 20, "fetched_per_second": 20,
        });
        assert_eq!(said.last(), Some(&last));
    }
}
