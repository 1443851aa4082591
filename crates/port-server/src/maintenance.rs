//! What a server does while nobody asks: rounds of collection, and reading blobs again at a bounded rate.
//!
//! Several servers over one storage may each do it: they agree by the storage's conditional writes, and do the work twice at worst.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use port_model::Digest;
use tokio::time::Instant;

use crate::catalog::collect::{Patience, Sweep};
use crate::catalog::{Catalog, Verdict};
use crate::gate::Clock;
use crate::hosted;
use crate::meters::Meters;
use crate::name::RepositoryName;
use crate::observe::{Cause, Event, Observer};
use crate::storage::StorageError;

/// How far a clock may run from the time that passed before its ages are not believed.
const JUMP: Duration = Duration::from_secs(5 * 60);

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long what nobody needs is kept.
    pub patience: Patience,
    /// How long from one round to the next.
    pub every: Duration,
    /// How many bytes are read again in a second; nothing: none.
    pub scrub: Option<u64>,
}

impl Default for Rules {
    fn default() -> Self {
        let every = Duration::from_secs(60 * 60);
        Self { patience: Patience::default(), every, scrub: Some(8 << 20) }
    }
}

/// See the module.
pub struct Maintenance {
    pub(crate) catalog: Catalog,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) clock: Clock,
    pub(crate) rules: Rules,
}

impl Maintenance {
    /// Works until it is dropped, which is as good as a kill.
    pub async fn run(self) {
        let mut believed = Believed::new((self.clock)().into());
        let mut queue = VecDeque::new();
        loop {
            let now = SystemTime::from((self.clock)());
            let sweep = believed.look(now, self.rules.patience);
            self.round(now, sweep).await;
            let next = Instant::now() + self.rules.every;
            match self.rules.scrub {
                Some(rate) => self.scrub(&mut queue, rate.max(1), next).await,
                None => tokio::time::sleep_until(next).await,
            }
        }
    }

    async fn round(&self, now: SystemTime, sweep: Sweep) {
        match self.catalog.collect(now, self.rules.patience, sweep).await {
            Ok(round) => {
                self.meters.collected((self.clock)(), &round);
                self.observer.event(&Event::Collected(round));
            }
            Err(error) => self.failed("collection", &error),
        }
    }

    fn failed(&self, work: &'static str, error: &StorageError) {
        self.observer.event(&Event::MaintenanceFailed { work, reason: Cause::of(error).0 });
    }

    /// Reads blobs again until `end`, then leaves the rest for later.
    async fn scrub(&self, queue: &mut VecDeque<Digest>, rate: u64, end: Instant) {
        while Instant::now() < end {
            for (digest, verdict) in self.catalog.rotten() {
                self.found(&digest, verdict).await;
            }
            let Some(digest) = queue.pop_front() else {
                match self.catalog.blob_digests().await {
                    Ok(all) if !all.is_empty() => queue.extend(all),
                    Ok(_) => break,
                    Err(error) => {
                        self.failed("scrubbing", &error);
                        break;
                    }
                }
                continue;
            };
            let size = self.verify(&digest).await;
            // NOTE: at least a moment per blob, so that many small ones are paced as well.
            let pause =
                Duration::from_millis(size.saturating_mul(1000) / rate).max(Duration::from_millis(10));
            tokio::time::sleep(pause).await;
        }
        tokio::time::sleep_until(end).await;
    }

    async fn verify(&self, digest: &Digest) -> u64 {
        match self.catalog.verify_blob(digest).await {
            Ok(verdict) => self.found(digest, verdict).await,
            Err(error) => {
                self.failed("scrubbing", &error);
                0
            }
        }
    }
}

impl Maintenance {
    /// Tells what reading a blob found; gives how many bytes were right.
    async fn found(&self, digest: &Digest, verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Absent => 0,
            Verdict::Sound(size) => {
                self.meters.scrubbed(size);
                size
            }
            Verdict::Quarantined { repositories } => {
                self.meters.quarantined();
                if let Err(error) = tidy(&self.catalog, &repositories).await {
                    self.failed("scrubbing", &error);
                }
                let repositories = repositories.iter().map(ToString::to_string).collect();
                self.observer.event(&Event::Quarantined { digest: digest.to_string(), repositories });
                0
            }
        }
    }
}

/// Takes what was put aside from the readable paths, which are other names of the same bytes.
pub(crate) async fn tidy(catalog: &Catalog, repositories: &[RepositoryName]) -> Result<(), StorageError> {
    for repository in repositories {
        for tag in catalog.tags(repository, None, usize::MAX).await? {
            hosted::follow(catalog, repository, &tag).await?;
        }
    }
    Ok(())
}

/// Every blob again, without a pause: what an operator asks for.
///
/// # Errors
/// Where a blob cannot be read.
pub async fn verify_all(
    catalog: &Catalog,
    mut each: impl FnMut(&Digest, &Verdict),
) -> Result<(), StorageError> {
    for digest in catalog.blob_digests().await? {
        let verdict = catalog.verify_blob(&digest).await?;
        if let Verdict::Quarantined { repositories } = &verdict {
            tidy(catalog, repositories).await?;
        }
        each(&digest, &verdict);
    }
    Ok(())
}

/// Whether the clock can be believed: how far it went beside the time that really passed.
struct Believed {
    clock: SystemTime,
    seen: Instant,
    jumped: Option<Instant>,
}

impl Believed {
    fn new(clock: SystemTime) -> Self {
        Self { clock, seen: Instant::now(), jumped: None }
    }

    /// After a jump nothing is swept until marks made since then are old enough by the time that really passed.
    fn look(&mut self, clock: SystemTime, patience: Patience) -> Sweep {
        let expected = self.clock.checked_add(self.seen.elapsed()).unwrap_or(clock);
        let off = clock.duration_since(expected).unwrap_or_else(|behind| behind.duration());
        if off > JUMP {
            self.jumped = Some(Instant::now());
        }
        (self.clock, self.seen) = (clock, Instant::now());
        let longest = patience.blobs.max(patience.uploads).max(patience.manifests.unwrap_or_default());
        match self.jumped {
            Some(at) if at.elapsed() < longest => Sweep::Nothing,
            _ => Sweep::Ripe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_is_not_believed_until_its_marks_are_old() {
        let hour = Duration::from_secs(3600);
        let patience = Patience { uploads: hour, blobs: hour, manifests: Some(2 * hour) };
        let start = SystemTime::UNIX_EPOCH + 1000 * hour;
        let mut believed = Believed::new(start);
        tokio::time::advance(hour).await;
        assert_eq!(believed.look(start + hour, patience), Sweep::Ripe);
        assert_eq!(believed.look(start + 100 * hour, patience), Sweep::Nothing, "a jump ahead");
        tokio::time::advance(hour).await;
        assert_eq!(
            believed.look(start + 101 * hour, patience),
            Sweep::Nothing,
            "marks of before are still there"
        );
        tokio::time::advance(hour).await;
        assert_eq!(believed.look(start + 102 * hour, patience), Sweep::Ripe);
        assert_eq!(believed.look(start, patience), Sweep::Nothing, "a jump back");
    }
}
