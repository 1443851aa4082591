//! A document below a tag that several writers add to, changed without losing what others add at the same time.
//!
//! ```text
//! read ─► merge ─► write (If-Match) ─► read back ─► there? wait as long as that took ─► still there? done
//!   ▲                  │ 412                          │ gone                              │ gone
//!   └──────────────────┴──────────────────────────────┴───────────────────────────────────┘
//! ```
//!
//! A registry that honours `If-Match` makes the write safe. Most do not, and do not say so. There, two writers
//! may read the same document and the later write wins; so each looks again after everybody who had read the
//! document before its write has had time to write theirs, and puts its part in again where it was lost.

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
const LONGEST_WAIT: Duration = Duration::from_secs(3);

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
    for turn in 0..TRIES {
        let began = Instant::now();
        let existing = read(site, name).await.map_err(Stop::Failure)?;
        let Some((media_type, bytes)) = merge(existing.as_ref()).map_err(Stop::Refused)? else {
            if !wrote {
                return Ok(());
            }
            wrote = false;
            tokio::time::sleep(wait(began.elapsed(), turn)).await;
            continue;
        };
        let condition = match &existing {
            Some(Manifest { etag: Some(etag), .. }) => Condition::Unchanged(etag),
            _ => Condition::None,
        };
        match put(host, repository, name, (&media_type, &bytes), condition).await {
            Ok(_) => wrote = true,
            // Somebody else was faster: read again.
            Err(failure) if failure.kind() == Kind::Changed => {
                tokio::time::sleep(wait(began.elapsed(), turn)).await;
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

/// At least as long as one reading and writing took, and not the same for everybody who competes.
fn wait(took: Duration, turn: u32) -> Duration {
    let spread = Duration::from_millis(u64::from(std::process::id() % 97 + turn * 31));
    (took * 2 + spread).clamp(SHORTEST_WAIT, LONGEST_WAIT)
}
