//! One variant put into a shared index without losing another publisher's.
//!
//! ```text
//! read ─► merge ─► write (If-Match) ─► read back ─► there? wait as long as that took ─► still there? done
//!   ▲                  │ 412                          │ gone                              │ gone
//!   └──────────────────┴──────────────────────────────┴───────────────────────────────────┘
//! ```
//!
//! A registry that honours `If-Match` makes the write safe. Most do not, and do not say so. There, two publishers
//! may read the same index and the later write wins; so each looks again after everybody who had read the
//! index before its write has had time to write theirs, and puts its variant in again where it was lost.

use std::time::{Duration, Instant};

use bytes::Bytes;
use port_model::Reference;
use port_registry::{Condition, Kind, Manifest, Repository, TagOrDigest};

use super::failed;
use crate::backend::{Document, MergeIndex};
use crate::error::{BackendError, ErrorKind};

/// How often the index is written before this publisher gives up.
const TRIES: u32 = 30;
/// Bounds of the wait before the second look.
const SHORTEST_WAIT: Duration = Duration::from_millis(150);
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// Puts the variant in, until two looks have found it there.
pub(super) async fn update(
    repository: &Repository,
    reference: &Reference,
    name: &TagOrDigest,
    merge: MergeIndex<'_>,
) -> Result<(), BackendError> {
    let mut wrote = false;
    for turn in 0..TRIES {
        let began = Instant::now();
        let existing = read(repository, name).await?;
        let Some(merged) = merged(reference, existing.as_ref(), merge)? else {
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
        let bytes = Bytes::from(merged.bytes);
        match repository.put_manifest(name, &merged.media_type, &bytes, condition).await {
            Ok(_) => wrote = true,
            // Somebody else was faster: read again.
            Err(error) if error.kind() == Kind::Changed => {
                tokio::time::sleep(wait(began.elapsed(), turn)).await
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let reason = format!("other publishers changed it {TRIES} times meanwhile");
    Err(BackendError::new(ErrorKind::Unavailable, reference.to_string(), "write the index", reason))
}

/// The index that is there.
pub(super) async fn read(
    repository: &Repository,
    name: &TagOrDigest,
) -> Result<Option<Manifest>, BackendError> {
    match repository.manifest(name).await {
        Ok(manifest) => Ok(Some(manifest)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn merged(
    reference: &Reference,
    existing: Option<&Manifest>,
    merge: MergeIndex<'_>,
) -> Result<Option<Document>, BackendError> {
    let existing = existing.map(document);
    merge(existing.as_ref()).map_err(|reason| {
        BackendError::new(
            ErrorKind::Conflict,
            reference.to_string(),
            "put the variant into the index",
            reason,
        )
    })
}

/// The index as the caller takes it.
pub(super) fn document(manifest: &Manifest) -> Document {
    Document { media_type: manifest.media_type.clone(), bytes: manifest.bytes.to_vec() }
}

/// At least as long as one reading and writing took, and not the same for everybody who competes.
fn wait(took: Duration, turn: u32) -> Duration {
    let spread = Duration::from_millis(u64::from(std::process::id() % 97 + turn * 31));
    (took * 2 + spread).clamp(SHORTEST_WAIT, LONGEST_WAIT)
}
