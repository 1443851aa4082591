//! Progress on stderr: bars on a terminal, JSON events for machines, nothing elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use port_model::{Event, Reporter};

use crate::args::Progress;
use crate::ui::Ui;

/// How long work runs before a bar appears; fast commands stay silent.
const PATIENCE: Duration = Duration::from_millis(250);

/// The reporter that the flags ask for.
pub fn reporter(ui: Ui, progress: Progress) -> Arc<dyn Reporter> {
    match progress {
        Progress::Json => Arc::new(JsonEvents(ui)),
        Progress::Auto if std::io::stderr().is_terminal() && !ui.quiet => Arc::new(Bars::new(ui)),
        Progress::Auto | Progress::None => Arc::new(NotesOnly(ui)),
    }
}

/// Shows notes, no bars.
struct NotesOnly(Ui);

impl Reporter for NotesOnly {
    fn event(&self, event: Event) {
        if let Event::Note { message } = event {
            self.0.note(&message);
        }
    }
}

/// One JSON object per event and line.
struct JsonEvents(Ui);

impl Reporter for JsonEvents {
    fn event(&self, event: Event) {
        self.0.error_json(&event);
    }
}

/// One bar per task.
struct Bars {
    ui: Ui,
    all: MultiProgress,
    bars: Mutex<HashMap<String, (ProgressBar, std::time::Instant)>>,
}

impl Bars {
    fn new(ui: Ui) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Self { ui, all, bars: Mutex::default() }
    }

    fn start(&self, task: &str, total: Option<u64>) -> (ProgressBar, std::time::Instant) {
        let bar = ProgressBar::hidden();
        bar.set_length(total.unwrap_or(0));
        bar.set_message(task.to_owned());
        let template = if total.is_some() {
            "{msg:32!} [{bar:24}] {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12}"
        } else {
            "{msg:32!} {spinner} {bytes:>10} {bytes_per_sec:>12}"
        };
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        (bar, std::time::Instant::now())
    }
}

impl Reporter for Bars {
    fn event(&self, event: Event) {
        // A thread that died while holding the map has not left it half changed.
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { task, total } => {
                let bar = self.start(&task, total);
                if let Some((old, _)) = bars.insert(task, bar) {
                    old.finish_and_clear();
                }
            }
            Event::Advanced { task, bytes } => {
                if let Some((bar, since)) = bars.get_mut(&task) {
                    bar.inc(bytes);
                    if bar.is_hidden() && since.elapsed() > PATIENCE {
                        *bar = self.all.add(bar.clone());
                    }
                }
            }
            Event::Finished { task } => {
                if let Some((bar, _)) = bars.remove(&task) {
                    bar.finish_and_clear();
                }
            }
            // The notes say it in words.
            Event::Planned { .. } => {}
            Event::Note { message } => self.all.suspend(|| self.ui.note(&message)),
        }
    }
}
