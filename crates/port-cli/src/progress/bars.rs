//! Progress for people: one bar per task. What is fetched for a task stands below its bar, not in one of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use port_model::{Event, Reporter};

use super::tasks::{Plan, Tasks};
use crate::ui::{self, Ui};

/// How long work runs before a bar appears; fast commands stay silent.
const PATIENCE: Duration = Duration::from_millis(250);
/// With a size, without one, and with what is fetched. They fit 80 columns.
const SIZED: &str = "{prefix:24!} [{bar:16}] {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12}";
const UNSIZED: &str = "{prefix:24!} {spinner} {bytes:>10} {bytes_per_sec:>12}";
const PLANNED: &str = "{prefix:24!} [{bar:16}] {bytes:>10}/{total_bytes:10}\n  {msg}";

/// See the module.
pub(super) struct Bars {
    ui: Ui,
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tasks: Tasks,
    bars: HashMap<String, Bar>,
}

/// What one task shows.
struct Bar {
    bar: ProgressBar,
    /// Never shown: it knows how fast bytes are fetched.
    fetching: ProgressBar,
    since: Instant,
}

impl Bar {
    fn new(task: &str) -> Self {
        let bar = ProgressBar::hidden().with_prefix(task.to_owned());
        Self { bar, fetching: ProgressBar::hidden(), since: Instant::now() }
    }

    fn dress(&self, template: &str, total: u64) {
        self.bar.set_length(total);
        self.bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
    }

    fn show(&mut self, all: &MultiProgress) {
        if self.bar.is_hidden() && self.since.elapsed() > PATIENCE {
            self.bar = all.add(self.bar.clone());
        }
    }

    fn fetched(&self, plan: Plan, bytes: u64) {
        self.fetching.inc(bytes);
        self.bar.set_message(words(plan, self.fetching.per_sec()));
    }
}

/// What is here, what is fetched, and how fast.
fn words(plan: Plan, rate: f64) -> String {
    let (found, fetched, fetch) = (ui::size(plan.found), ui::size(plan.fetched), ui::size(plan.fetch));
    match plan.fetch {
        0 => format!("{found} here, nothing to fetch"),
        _ => format!("{found} here, {fetched} of {fetch} fetched, {}/s", ui::size(rate as u64)),
    }
}

impl Bars {
    pub(super) fn new(ui: Ui) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Self { ui, all, state: Mutex::default() }
    }
}

impl Reporter for Bars {
    fn event(&self, event: Event) {
        // A thread that died while holding the state has not left it half changed.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { task, wanted, found, fetch, transfers } => {
                state.plan(&task, wanted, Plan { found, fetch, fetched: 0 }, transfers);
            }
            Event::Started { task, total } => state.start(&task, total),
            Event::Advanced { task, bytes } => state.advance(&self.all, &task, bytes),
            Event::Finished { task } => {
                state.tasks.finished(&task);
                state.clear(&task);
            }
            // The notes say it in words.
            Event::Packed { .. } => {}
            Event::Note { message } => self.all.suspend(|| self.ui.note(&message)),
        }
    }
}

impl State {
    fn plan(&mut self, task: &str, wanted: u64, plan: Plan, transfers: Vec<String>) {
        self.tasks.planned(task, plan, transfers, Instant::now());
        let bar = Bar::new(task);
        bar.dress(PLANNED, wanted);
        bar.fetched(plan, 0);
        self.clear(task);
        self.bars.insert(task.to_owned(), bar);
    }

    fn start(&mut self, task: &str, total: Option<u64>) {
        self.tasks.started(task, total, Instant::now());
        // The bar of a plan is there already; the task that a transfer fetches for shows it.
        let planned = self.tasks.get(task).is_some_and(|task| task.plan.is_some());
        if planned || self.tasks.is_transfer(task) {
            return;
        }
        let bar = Bar::new(task);
        bar.dress(if total.is_some() { SIZED } else { UNSIZED }, total.unwrap_or(0));
        self.clear(task);
        self.bars.insert(task.to_owned(), bar);
    }

    fn advance(&mut self, all: &MultiProgress, task: &str, bytes: u64) {
        let whole = self.tasks.advanced(task, bytes);
        if let Some(bar) = self.bars.get_mut(task) {
            bar.bar.inc(bytes);
            bar.show(all);
        }
        let Some(whole) = whole else { return };
        let plan = self.tasks.get(&whole).and_then(|task| task.plan);
        if let Some((bar, plan)) = self.bars.get_mut(&whole).zip(plan) {
            bar.fetched(plan, bytes);
            bar.show(all);
        }
    }

    fn clear(&mut self, task: &str) {
        if let Some(old) = self.bars.remove(task) {
            old.bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_below_a_bar_says_what_is_here_and_what_is_fetched() {
        let plan = Plan { found: 5 << 20, fetch: 3 << 20, fetched: 1 << 19 };
        assert_eq!(words(plan, 1536.0), "5.0 MiB here, 512.0 KiB of 3.0 MiB fetched, 1.5 KiB/s");
        assert_eq!(words(Plan { fetch: 0, fetched: 0, ..plan }, 0.0), "5.0 MiB here, nothing to fetch");
    }
}
