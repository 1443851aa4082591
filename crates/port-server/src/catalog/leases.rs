//! Leases: what nothing needs is condemned first and swept only later, and whoever asks for it meanwhile has it again.
//!
//! A mark lies in the condemned object itself (in a holder, in a manifest's heading), so that it is set, taken away and acted upon by
//! conditional writes of one object, with no lock. Every mark is different, so a version is never the same twice.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use port_content::limit;
use port_model::Digest;
use serde::{Deserialize, Serialize};

use super::{Catalog, keys};
use crate::name::RepositoryName;
use crate::random;
use crate::storage::{Condition, Key, Outcome, StorageError, StorageErrorKind};

/// A holder that counts is at most this long, a condemned one longer: one look at its size tells them apart.
const LONGEST_HELD: u64 = 16;
/// How often a condemned holder is looked at again that others change.
const TRIES: usize = 16;

/// Since when nothing needs an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Seconds since 1970.
    condemned: u64,
    /// Random.
    mark: String,
}

impl Mark {
    pub(super) fn new(now: SystemTime) -> io::Result<Self> {
        Ok(Self { condemned: seconds(now), mark: random::hex()? })
    }

    /// Whether it is so old by now.
    pub(super) fn is_ripe(&self, now: SystemTime, patience: Duration) -> bool {
        seconds(now).checked_sub(self.condemned).is_some_and(|age| age >= patience.as_secs())
    }

    /// Whether it comes from a clock that was wrong.
    pub(super) fn is_from_the_future(&self, now: SystemTime) -> bool {
        self.condemned > seconds(now)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How a repository has a blob.
pub(super) enum Holding {
    Held,
    Condemned { mark: Mark, condition: Condition },
}

impl Catalog {
    /// Whether a repository has a blob. Asking renews its lease.
    pub async fn holds(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        let key = keys::holder(digest, repository);
        match self.storage.size(&key).await? {
            None => Ok(false),
            Some(size) if size <= LONGEST_HELD => Ok(true),
            Some(_) => self.renew_holder(&key).await,
        }
    }

    /// Takes the mark off a holder; false where there is no holder.
    pub(super) async fn renew_holder(&self, key: &Key) -> Result<bool, StorageError> {
        for _ in 0..TRIES {
            let Some(document) = self.storage.read(key, limit::RECORD).await? else { return Ok(false) };
            if document.bytes.len() as u64 <= LONGEST_HELD {
                return Ok(true);
            }
            let condition = Condition::Version(document.version);
            if self.storage.put(key, Bytes::new(), condition).await? == Outcome::Done {
                return Ok(true);
            }
        }
        // Others renew it and condemn it all the time: it is there.
        Ok(true)
    }

    /// A holder as collection sees it.
    pub(super) async fn holding(&self, key: &Key) -> Result<Option<Holding>, StorageError> {
        match self.storage.size(key).await? {
            None => return Ok(None),
            Some(size) if size <= LONGEST_HELD => return Ok(Some(Holding::Held)),
            Some(_) => {}
        }
        let Some(document) = self.storage.read(key, limit::RECORD).await? else { return Ok(None) };
        Ok(Some(match serde_json::from_slice::<Mark>(&document.bytes) {
            Ok(mark) => Holding::Condemned { mark, condition: Condition::Version(document.version) },
            // Nothing that we wrote; it counts.
            Err(_) => Holding::Held,
        }))
    }

    /// Condemns a holder that still is what it was.
    pub(super) async fn condemn_holder(&self, key: &Key, now: SystemTime) -> Result<Outcome, StorageError> {
        let Some(document) = self.storage.read(key, limit::RECORD).await? else {
            return Ok(Outcome::Refused);
        };
        let mark = self.mark(key, now)?;
        // A number and a string always have a JSON form.
        let text = serde_json::to_vec(&mark).unwrap_or_default();
        self.storage.put(key, text.into(), Condition::Version(document.version)).await
    }

    pub(super) fn mark(&self, key: &Key, now: SystemTime) -> Result<Mark, StorageError> {
        Mark::new(now).map_err(|error| StorageError {
            kind: StorageErrorKind::Failed,
            storage: self.storage.describe(),
            operation: "condemn",
            key: key.to_string(),
            source: Box::new(error),
        })
    }
}
