//! Whether a server brings enough to go on with it: one that sends a byte now and then never stalls, and would hold a
//! transfer for ever.
//!
//! Only time in which somebody waits for the server counts, and in each span of that at least so many bytes must come. What
//! this host takes for itself is not the server's fault: a slow disk, a pause that `Retry-After` asked for, a full queue.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::options::Patience;

/// What all connections of one transfer brought, counted in spans of [`Patience::stall`].
#[derive(Debug)]
pub(crate) struct Pace {
    least: u64,
    span: Duration,
    now: Mutex<Span>,
}

/// One span.
#[derive(Debug)]
struct Span {
    /// How many connections wait at this moment.
    waiting: usize,
    /// Since when `waited` does not count what is waited.
    since: Instant,
    waited: Duration,
    bytes: u64,
}

/// A connection that waits for the server, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Pace);

impl Pace {
    pub(crate) fn start(patience: &Patience) -> Self {
        let now = Mutex::new(Span::start(Instant::now()));
        Self { least: patience.least_rate, span: patience.stall, now }
    }

    /// From now on somebody waits for the server.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        let mut now = self.lock();
        now.tick(Instant::now());
        now.waiting += 1;
        Waiting(self)
    }

    /// So many more bytes came; says whether the server is too slow.
    pub(crate) fn is_too_slow_with(&self, bytes: u64) -> bool {
        let mut now = self.lock();
        now.tick(Instant::now());
        now.is_too_slow_with(bytes, self.least, self.span)
    }

    /// What is asked for, in so much time.
    pub(crate) fn least_in(&self, time: Duration) -> u64 {
        (self.least as f64 * time.as_secs_f64()) as u64
    }

    /// What was missed, for a message.
    pub(crate) fn reason(&self) -> String {
        format!("it sends less than {} bytes per second", self.least)
    }

    fn lock(&self) -> MutexGuard<'_, Span> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Span {
    fn start(since: Instant) -> Self {
        Self { waiting: 0, since, waited: Duration::ZERO, bytes: 0 }
    }

    /// Whether the span is over and brought too little; after a span that is over begins the next one.
    fn is_too_slow_with(&mut self, bytes: u64, least: u64, span: Duration) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.waited < span {
            return false;
        }
        let (waited, brought) = (std::mem::take(&mut self.waited), std::mem::take(&mut self.bytes));
        (brought as f64) < least as f64 * waited.as_secs_f64()
    }

    /// Counts the time since the last look, if somebody waited in it.
    fn tick(&mut self, now: Instant) {
        if self.waiting > 0 {
            self.waited += now.duration_since(self.since);
        }
        self.since = now;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut now = self.0.lock();
        now.tick(Instant::now());
        now.waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(60);

    /// A span at a time that only this test moves.
    struct Clock {
        now: Instant,
        span: Span,
    }

    impl Clock {
        fn start() -> Self {
            let now = Instant::now();
            Self { now, span: Span::start(now) }
        }

        /// So long on so many connections at once; one of them brings the bytes.
        fn brings(&mut self, connections: usize, time: Duration, bytes: u64, least: u64) -> bool {
            for _ in 0..connections {
                self.span.tick(self.now);
                self.span.waiting += 1;
            }
            self.now += time;
            for _ in 0..connections {
                self.span.tick(self.now);
                self.span.waiting -= 1;
            }
            self.span.is_too_slow_with(bytes, least, SPAN)
        }
    }

    #[test]
    fn a_byte_now_and_then_is_too_slow_and_a_slow_link_is_not() {
        let second = Duration::from_secs(1);
        let mut dripping = Clock::start();
        for at in 1..60 {
            assert!(!dripping.brings(1, second, 1, 1024), "{at}");
        }
        assert!(dripping.brings(1, second, 1, 1024));
        // 1.5 KiB per second, over one connection or shared by six, for an hour.
        for connections in [1, 6] {
            let mut slow = Clock::start();
            for _ in 0..240 {
                assert!(!slow.brings(connections, 15 * second, 15 * 1536, 1024));
            }
        }
        let mut anything = Clock::start();
        assert!((0..10).all(|_| !anything.brings(1, 61 * second, 1, 0)));
    }

    #[test]
    fn what_this_host_takes_for_itself_does_not_count() {
        let mut clock = Clock::start();
        for _ in 0..200 {
            // A disk that needs half a minute for what came, or a pause that the server asked for.
            clock.now += SPAN / 2;
            assert!(!clock.brings(6, Duration::from_secs(1), 2048, 1024));
        }
    }
}
