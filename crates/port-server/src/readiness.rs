//! Whether the storage can be written, for whoever asks, as often as they ask: it is tried at most once in a second, by one at a time.
//!
//! NOTE: at a bucket a try is a signed request that costs money and time, and anybody may ask without a token.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::observe::Cause;
use crate::storage::StorageError;

/// How long an outcome is believed.
const FRESH: Duration = Duration::from_secs(1);
/// How long a storage may take. Who balances load waits no longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Result<(), Cause>)>>);

impl Readiness {
    /// The last outcome where it is fresh, or a new one. `now` is asked after every wait.
    pub(crate) async fn of(
        &self,
        now: impl Fn() -> Instant,
        tried: impl Future<Output = Result<(), StorageError>>,
    ) -> Result<(), Cause> {
        // Who waits here is told what the one before found.
        let mut last = self.0.lock().await;
        if let Some((at, outcome)) = last.as_ref()
            && now().saturating_duration_since(*at) < FRESH
        {
            return outcome.clone();
        }
        let outcome = match tokio::time::timeout(PATIENCE, tried).await {
            Ok(found) => found.map_err(|error| Cause::of(&error)),
            Err(_) => Err(Cause(format!("the storage did not answer for {} s", PATIENCE.as_secs()))),
        };
        *last = Some((now(), outcome.clone()));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::storage::StorageErrorKind;

    fn broken() -> StorageError {
        StorageError {
            kind: StorageErrorKind::Failed,
            storage: "a bucket".to_owned(),
            operation: "write",
            key: "_ready".to_owned(),
            source: "it broke".into(),
        }
    }

    #[tokio::test]
    async fn an_outcome_is_believed_for_a_second() {
        let (start, passed, tries) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
        let now = || start + Duration::from_millis(passed.load(Ordering::Relaxed));
        let readiness = Readiness::default();
        let ask = async |outcome: Result<(), StorageError>| {
            let tried = async {
                tries.fetch_add(1, Ordering::Relaxed);
                outcome
            };
            readiness.of(now, tried).await.is_ok()
        };
        for (at, outcome, expected, tried) in [
            (0, Ok(()), true, 1),
            (999, Err(broken()), true, 1),
            (1000, Err(broken()), false, 2),
            (1999, Ok(()), false, 2),
            (2000, Ok(()), true, 3),
        ] {
            passed.store(at, Ordering::Relaxed);
            assert_eq!((ask(outcome).await, tries.load(Ordering::Relaxed)), (expected, tried), "at {at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_storage_that_says_nothing_is_not_ready_and_many_who_ask_ask_once() {
        let readiness = Readiness::default();
        let (start, tries) = (Instant::now(), AtomicU64::new(0));
        let ask = || {
            readiness.of(|| start, async {
                tries.fetch_add(1, Ordering::Relaxed);
                pending().await
            })
        };
        let (one, other) = tokio::join!(ask(), ask());
        assert_eq!(one, Err(Cause("the storage did not answer for 5 s".to_owned())));
        assert_eq!((other, tries.load(Ordering::Relaxed)), (one, 1));
    }
}
