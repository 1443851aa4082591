//! Whether a place that others stand in for brings enough to go on with it: one that sends a byte now and then never
//! stalls, and would hold a download for ever.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::options::Patience;

/// What all connections of one download brought, counted in spans of [`Patience::stall`].
#[derive(Debug)]
pub(crate) struct Pace {
    least: u64,
    span: Duration,
    now: Mutex<(Instant, u64)>,
}

impl Pace {
    pub(crate) fn start(patience: &Patience) -> Self {
        let now = Mutex::new((Instant::now(), 0));
        Self { least: patience.least_rate, span: patience.stall, now }
    }

    /// So many more bytes came; says whether the place is too slow.
    pub(crate) fn is_too_slow_with(&self, bytes: u64) -> bool {
        if self.least == 0 {
            return false;
        }
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = (now.0, now.1.saturating_add(bytes));
        let elapsed = began.elapsed();
        *now = if elapsed < self.span { (began, count) } else { (Instant::now(), 0) };
        elapsed >= self.span && (count as f64) < self.least as f64 * elapsed.as_secs_f64()
    }

    /// What is asked for, for a message.
    pub(crate) fn least(&self) -> u64 {
        self.least
    }
}
