//! The server's log: one JSON object per line on standard error, with the time.

use port_server::observe::{Event, Observer, RequestRecord};
use serde::Serialize;

use crate::ui::Ui;

/// See the module.
pub(super) struct Log {
    ui: Ui,
}

#[derive(Serialize)]
struct Line<'a, T> {
    time: String,
    level: &'static str,
    #[serde(flatten)]
    what: &'a T,
}

impl Log {
    pub(super) fn new(ui: Ui) -> Self {
        Self { ui }
    }

    fn line<T: Serialize>(&self, level: &'static str, what: &T) {
        let line = Line { time: jiff::Timestamp::now().to_string(), level, what };
        let Ok(mut text) = serde_json::to_string(&line) else { return };
        text.push('\n');
        // Nobody may be listening any more; the server goes on.
        let _ = self.ui.raw_stderr(text.as_bytes());
    }
}

impl Observer for Log {
    fn request(&self, record: &RequestRecord) {
        let failed = record.status >= 500;
        if failed {
            self.line("error", record);
        } else if !self.ui.quiet {
            self.line("info", record);
        }
    }

    fn event(&self, event: &Event) {
        let level = match event {
            Event::AcceptFailed { .. }
            | Event::AuditFailed { .. }
            | Event::Quarantined { .. }
            | Event::MaintenanceFailed { .. } => "error",
            Event::CertificateRefused { .. } | Event::Stopped { complete: false } => "warning",
            _ => "info",
        };
        if level != "info" || !self.ui.quiet {
            self.line(level, event);
        }
    }
}
