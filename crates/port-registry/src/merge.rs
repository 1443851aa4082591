//! A document below a tag that several writers add to, changed without losing what others add at the same time.
//!
//! ```text
//! read ─► merge ─► write (If-Match) ─► read back ─► there? wait longer than that took ─► still there? done
//!   ▲                  │ 412                          │ gone                              │ gone
//!   └──────────────────┴──────────────────────────────┴───────────────────────────────────┘
//! ```
//!
//! A registry that honours `If-Match` makes the write safe. Most do not, and do not say so. There, two writers
//! may read the same document and the later write wins; so each looks again after everybody who had read the
//! document before its write has had time to write theirs, and puts its part in again where it was lost. How long that
//! takes is judged by the slowest of one's own writes: what slows one writer down slows the others, too. A writer that is
//! three times slower, or slower than a minute, can still undo what another did.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::{Failure, Kind};
use crate::mirror::Site;
use crate::pull::manifest::{self, Manifest};
use crate::push::manifest::{Condition, put};
use crate::tag::TagOrDigest;

/// How often the document is written before this writer gives up.
const TRIES: u32 = 30;
/// Bounds of the wait before the second look.
const SHORTEST_WAIT: Duration = Duration::from_millis(150);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Gets the document that is there and gives the one that should be, with its media type; `None` when nothing is to be
/// done. It is asked again whenever another writer came in between. An error is the caller's own refusal.
pub type Merge<'a, E> = &'a (dyn Fn(Option<&Manifest>) -> Result<Option<(String, Bytes)>, E> + Sync);

/// Why a document was not changed.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    Failure(Failure),
    Refused(E),
}

/// Merges until two looks have found that nothing is to be done. Mirrors are not asked: they may be behind.
pub(crate) async fn update<E>(site: &Site, name: &TagOrDigest, merge: Merge<'_, E>) -> Result<(), Stop<E>> {
    let Site { host, repository } = site;
    let mut wrote = false;
    // From reading to having written, at its slowest: the second look is itself too quick a measure.
    let mut slowest = Duration::ZERO;
    for turn in 0..TRIES {
        let began = Instant::now();
        let existing = read(site, name).await.map_err(Stop::Failure)?;
        let Some((media_type, bytes)) = merge(existing.as_ref()).map_err(Stop::Refused)? else {
            if !wrote {
                return Ok(());
            }
            wrote = false;
            slowest = slowest.max(began.elapsed());
            tokio::time::sleep(wait(slowest, turn)).await;
            continue;
        };
        let condition = match &existing {
            Some(Manifest { etag: Some(etag), .. }) => Condition::Unchanged(etag),
            _ => Condition::None,
        };
        let written = put(host, repository, name, (&media_type, &bytes), condition).await;
        slowest = slowest.max(began.elapsed());
        match written {
            Ok(_) => wrote = true,
            // Somebody else was faster: read again.
            Err(failure) if failure.kind() == Kind::Changed => {
                tokio::time::sleep(wait(slowest, turn)).await;
            }
            Err(failure) => return Err(Stop::Failure(failure)),
        }
    }
    Err(Stop::Failure(Failure::Contended { tries: TRIES }))
}

/// The document that is there.
async fn read(site: &Site, name: &TagOrDigest) -> Result<Option<Manifest>, Failure> {
    match manifest::fetch(&site.host, &site.repository, name).await {
        Ok(manifest) => Ok(Some(manifest)),
        Err(failure) if failure.kind() == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Longer than one reading and writing took, and not the same for everybody who competes.
fn wait(slowest: Duration, turn: u32) -> Duration {
    let spread = Duration::from_millis(u64::from(std::process::id() % 97 + turn * 31));
    (slowest * 3 + spread).clamp(SHORTEST_WAIT, LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_longer_than_what_it_waits_for() {
        for slowest in [0, 50, 2_000, 15_000].map(Duration::from_millis) {
            let wait = wait(slowest, 0);
            assert!(wait >= slowest * 3 && wait >= SHORTEST_WAIT, "{slowest:?}: {wait:?}");
        }
        assert_eq!(wait(Duration::from_secs(600), 29), LONGEST_WAIT);
    }
}
