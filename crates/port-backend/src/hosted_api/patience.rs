//! How long a control plane is waited for. A file takes what it takes as long as it moves: there is no limit on a whole request, only on
//! how long nothing happens, and on how little happens while it is waited for.

use std::time::Duration;

use tokio::time::Instant;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long nothing may move, and how long an answer to a small question may take.
    pub stall: Duration,
    /// How long the server may take for a file that it has whole.
    pub commit: Duration,
    /// Bytes per second that it must send while it is waited for.
    pub least_rate: u64,
    /// Bytes that make a try count as one that went on.
    pub progress: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(60),
            commit: Duration::from_secs(600),
            least_rate: 1024,
            progress: 256 * 1024,
        }
    }
}

/// What a server brings in spans of [`Patience::stall`], counting only time in which it is waited for.
pub(super) struct Pace {
    patience: Patience,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, waited: Duration::ZERO, bytes: 0 }
    }

    /// So many bytes came after a wait since `since`; false where that is too slow.
    pub(super) fn keeps(&mut self, since: Instant, bytes: u64) -> bool {
        self.counts(since.elapsed(), bytes)
    }

    fn counts(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.waited < self.patience.stall {
            return true;
        }
        let (waited, bytes) = (std::mem::take(&mut self.waited), std::mem::take(&mut self.bytes));
        u128::from(bytes) * 1000 >= u128::from(self.patience.least_rate) * waited.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_drips_is_too_slow_and_a_slow_link_is_not() {
        let second = Duration::from_secs(1);
        let mut dripping = Pace::new(Patience::default());
        assert!((1..60).all(|_| dripping.counts(second, 1)));
        assert!(!dripping.counts(second, 1));
        let mut slow = Pace::new(Patience::default());
        assert!((0..3600).all(|_| slow.counts(second, 1500)));
        let mut own = Pace::new(Patience::default());
        assert!((0..3600).all(|_| own.counts(Duration::ZERO, 1)), "our own slowness is not the server's");
    }
}
