//! Garbage collection beside running requests, without a lock: what no tag leads to is condemned, and swept when the mark is old.
//!
//! ```text
//! a round:  holders that are condemned long enough      (their versions: anybody who asks for the blob changes it)
//!        ─► manifests ─► tags ─► what they lead to      the rest: condemned, swept a round later by that version
//!        ─► holders that no manifest names              the rest: condemned, swept a round later by that version
//!        ─► blobs without a holder                      to the trash; looked for holders again; removed, or put back
//!        ─► uploads at which nobody was for long        dropped
//! ```
//!
//! Why nothing is taken that is needed, whatever the clocks say:
//! 1. What is swept in a round was condemned before the round read a single manifest or tag. Whoever needs it since has taken the
//!    mark off (the sweep is refused, the version is another one) or has put a manifest or tag that the round reads.
//! 2. A manifest is checked for its blobs once more after it is there (`manifests`), so no manifest without its blobs is acknowledged.
//! 3. A blob has its holder before it has its bytes, and who removes it looks for holders after it took the bytes away. A blob in
//!    the trash is taken back by whoever asks for it. It lies there under a name of that one time, so that of several collectors
//!    none removes what another one took away (`blobs`).
//!
//! How long a mark must be old is courtesy to pushes and pulls that take their time. CRASH: a kill leaves marks, which the next
//! round finds, or a blob in the trash, which whoever has it finds there, and a round looks at when it has lain there for a day.
//!
//! Deliberately not here: entries of referrers that never came are small and stay.

mod blobs;
mod holders;
mod manifests;
#[cfg(test)]
mod tests;
mod uploads;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime};

use port_model::Digest;
use port_model::digest::Algorithm;
use serde::Serialize;

use super::Catalog;
use crate::name::RepositoryName;
use crate::storage::{Child, Key, StorageError};

pub(super) const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];
/// How many names are listed at once.
const PAGE: usize = 10_000;

/// How long what nobody needs is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// An upload at which nobody was.
    pub uploads: Duration,
    /// A blob that no manifest of the repository names.
    pub blobs: Duration,
    /// A manifest that no tag leads to; nothing: for ever.
    pub manifests: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        // Who pulls by digest needs no tag, and nobody can tell whether somebody does.
        Self { uploads: DAY, blobs: DAY, manifests: None }
    }
}

/// Whether a round removes what it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// It does.
    Ripe,
    /// It condemns only: the clock jumped, so that no age can be believed.
    Nothing,
}

/// What a round did and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Round {
    /// Uploads dropped.
    pub uploads: u64,
    /// Manifests condemned.
    pub manifests_condemned: u64,
    /// Manifests removed.
    pub manifests: u64,
    /// Times that a blob was condemned in a repository.
    pub holders_condemned: u64,
    /// Times that a blob was taken from a repository.
    pub holders: u64,
    /// Blobs removed.
    pub blobs: u64,
    /// Their bytes, and those of the uploads.
    pub bytes: u64,
    /// Manifests that cannot be read. In their repositories nothing is collected.
    pub unreadable: Vec<String>,
    /// What is stored.
    pub stock: Stock,
}

/// What is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stock {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Manifests.
    pub manifests: u64,
    /// Repositories that have a manifest or a tag.
    pub repositories: u64,
    /// Uploads that have not ended.
    pub uploads: u64,
    /// Their bytes.
    pub upload_bytes: u64,
    /// Blobs in quarantine.
    pub quarantined: u64,
}

/// One round that is under way.
struct Collection<'a> {
    catalog: &'a Catalog,
    now: SystemTime,
    /// When `now` was: a round over many blobs takes hours.
    begun: Instant,
    patience: Patience,
    sweep: Sweep,
    round: Round,
    /// What the manifests of a repository name. A repository whose manifests cannot all be read is in `untouchable`.
    named: HashMap<RepositoryName, HashSet<Digest>>,
    untouchable: HashSet<RepositoryName>,
}

impl<'a> Collection<'a> {
    fn new(catalog: &'a Catalog, now: SystemTime, patience: Patience, sweep: Sweep) -> Self {
        Self {
            catalog,
            now,
            begun: Instant::now(),
            patience,
            sweep,
            round: Round::default(),
            named: HashMap::new(),
            untouchable: HashSet::new(),
        }
    }
}

impl Catalog {
    /// One round of collection.
    ///
    /// # Errors
    /// Where the storage fails. What was done until then is right.
    pub async fn collect(
        &self,
        now: SystemTime,
        patience: Patience,
        sweep: Sweep,
    ) -> Result<Round, StorageError> {
        let mut collection = Collection::new(self, now, patience, sweep);
        // NOTE: the order is the proof, see the module.
        let ripe = collection.ripe_holders().await?;
        collection.manifests().await?;
        collection.holders(ripe).await?;
        collection.blobs().await?;
        collection.uploads().await?;
        Ok(collection.round)
    }
}

/// A listing, page by page.
pub(super) struct Pages<'a> {
    catalog: &'a Catalog,
    prefix: Key,
    after: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(catalog: &'a Catalog, prefix: Key) -> Self {
        Self { catalog, prefix, after: None, ended: false }
    }

    /// The next page; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Child>>, StorageError> {
        if self.ended {
            return Ok(None);
        }
        let page = self.catalog.storage.list(&self.prefix, self.after.as_deref(), PAGE).await?;
        self.ended = page.len() < PAGE;
        self.after = page.last().map(|child| child.name.clone());
        Ok(Some(page))
    }

    /// The next page as digests of an algorithm; what is none is passed over.
    pub(super) async fn digests(
        &mut self,
        algorithm: Algorithm,
    ) -> Result<Option<Vec<Digest>>, StorageError> {
        let of = |child: Child| format!("{}:{}", algorithm.as_str(), child.name).parse().ok();
        Ok(self.next().await?.map(|page| page.into_iter().filter_map(of).collect()))
    }
}
