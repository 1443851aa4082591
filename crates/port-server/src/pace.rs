//! Whether a client keeps up. One that sends or takes a byte now and then would hold a connection for ever, and with it memory, a file and
//! its place among others. Only time in which this server waits for the client counts; what our disk takes is not its fault.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// What a client must bring or take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeastRate {
    /// In so much time of waiting,
    pub span: Duration,
    /// so many bytes per second.
    pub bytes_per_second: u64,
}

impl LeastRate {
    fn least_in(&self, time: Duration) -> u128 {
        u128::from(self.bytes_per_second).saturating_mul(time.as_millis()) / 1000
    }
}

/// A client that is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client moves less than {least} bytes per second")]
pub struct TooSlow {
    least: u64,
}

/// One direction of one connection.
pub(crate) struct Pace {
    rate: LeastRate,
    since: Option<Instant>,
    waited: Duration,
    moved: u64,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(crate) fn new(rate: LeastRate) -> Self {
        Self { rate, since: None, waited: Duration::ZERO, moved: 0, alarm: None }
    }

    /// Nothing moved: from now on the client is waited for. An error where it was waited for too long.
    pub(crate) fn waits(&mut self, context: &mut Context<'_>) -> Result<(), TooSlow> {
        loop {
            let since = *self.since.get_or_insert_with(Instant::now);
            let left = self.rate.span.saturating_sub(self.waited);
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(left)));
            if alarm.as_mut().poll(context).is_pending() {
                return Ok(());
            }
            self.count(since.elapsed(), 0)?;
        }
    }

    /// Bytes moved.
    pub(crate) fn moves(&mut self, bytes: u64) -> Result<(), TooSlow> {
        let waited = self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        // An alarm that was set for another wait would come too early.
        self.alarm = None;
        self.count(waited, bytes)
    }

    fn count(&mut self, waited: Duration, bytes: u64) -> Result<(), TooSlow> {
        self.waited += waited;
        self.moved = self.moved.saturating_add(bytes);
        if self.waited < self.rate.span {
            return Ok(());
        }
        let (waited, moved) = (std::mem::take(&mut self.waited), std::mem::take(&mut self.moved));
        (self.since, self.alarm) = (None, None);
        if u128::from(moved) < self.rate.least_in(waited) {
            return Err(TooSlow { least: self.rate.bytes_per_second });
        }
        Ok(())
    }
}

/// The same as a future's result, for whoever has one direction only.
pub(crate) fn waiting<T>(pace: &mut Pace, context: &mut Context<'_>) -> Poll<Result<T, TooSlow>> {
    match pace.waits(context) {
        Ok(()) => Poll::Pending,
        Err(slow) => Poll::Ready(Err(slow)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: LeastRate = LeastRate { span: Duration::from_secs(30), bytes_per_second: 1024 };

    /// How a client fares that lets the server wait so long for each piece.
    fn fares(pieces: u32, wait: Duration, bytes: u64) -> Result<(), TooSlow> {
        let mut pace = Pace::new(RATE);
        (0..pieces).try_for_each(|_| pace.count(wait, bytes))
    }

    #[test]
    fn a_byte_now_and_then_is_too_slow_and_a_slow_link_is_not() {
        let second = Duration::from_secs(1);
        assert!(fares(29, second, 1).is_ok());
        assert!(fares(30, second, 1).is_err());
        assert!(fares(3600, second, 1500).is_ok());
        assert!(fares(100, Duration::ZERO, 1).is_ok(), "our own slowness is not the client's");
        let burst_then_nothing = {
            let mut pace = Pace::new(RATE);
            pace.count(second, 1 << 30).and(pace.count(30 * second, 0)).and(pace.count(30 * second, 0))
        };
        assert!(burst_then_nothing.is_err(), "what came in another span does not count");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_noticed_without_a_byte() {
        let mut pace = Pace::new(RATE);
        let waited: Result<(), TooSlow> = std::future::poll_fn(|context| waiting(&mut pace, context)).await;
        assert!(waited.is_err());
    }
}
