//! Progress on stderr: bars on a terminal, JSON events for machines, nothing elsewhere.

mod bars;
mod lines;
mod tasks;

use std::io::IsTerminal as _;
use std::sync::Arc;

use port_model::{Event, Reporter};

use crate::args::Progress;
use crate::ui::Ui;

/// The reporter that the flags ask for.
pub fn reporter(ui: Ui, progress: Progress) -> Arc<dyn Reporter> {
    match progress {
        Progress::Json => Arc::new(lines::Lines::new(ui)),
        Progress::Auto if std::io::stderr().is_terminal() && !ui.quiet => Arc::new(bars::Bars::new(ui)),
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
