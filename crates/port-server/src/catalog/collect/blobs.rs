//! Blobs that no repository has.
//!
//! Why two collectors do no harm: what lies in the trash has a name of its own each time, is never written again, and everybody
//! who removes it has looked for holders after it came there. So whoever finds a holder puts the bytes back, and whoever finds
//! none removes only what they took away before that holder came; who comes later takes back what is there (`Catalog::rescue`).
//!
//! NOTE: at a bucket a blob is copied to the trash before its place is empty. Who sees it in the trash by then and looks for holders may
//! look too early: a push that comes next finds the bytes at their place, is acknowledged, and has only those in the trash a moment
//! later. So what another collector took away is left alone until that one cannot be at it any more ([`ABANDONED`]).

use std::time::{Duration, UNIX_EPOCH};

use port_model::Digest;
use port_model::digest::Algorithm;

use super::{ALGORITHMS, Collection, Pages, Sweep};
use crate::catalog::blobs::HolderWalk;
use crate::catalog::keys;
use crate::random;
use crate::storage::{Condition, Key, StorageError, StorageErrorKind};

/// How long something lies in the trash at which nobody is any more: as long as an upload of S3's own that nobody completes.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

impl Collection<'_> {
    /// Counts blobs, and removes those that nobody has.
    pub(super) async fn blobs(&mut self) -> Result<(), StorageError> {
        for algorithm in ALGORITHMS {
            self.left_trash(algorithm).await?;
            let mut shards = Pages::new(self.catalog, keys::blobs(algorithm));
            while let Some(page) = shards.next().await? {
                for shard in page {
                    let Some(prefix) = keys::below(&keys::blobs(algorithm), &shard.name) else { continue };
                    let mut pages = Pages::new(self.catalog, prefix);
                    while let Some(digests) = pages.digests(algorithm).await? {
                        for digest in digests {
                            self.blob(&digest).await?;
                        }
                    }
                }
            }
            let mut quarantined = Pages::new(self.catalog, keys::quarantine(algorithm));
            while let Some(digests) = quarantined.digests(algorithm).await? {
                self.round.stock.quarantined += digests.len() as u64;
            }
        }
        Ok(())
    }

    /// What a collection left that was killed.
    pub(super) async fn left_trash(&self, algorithm: Algorithm) -> Result<(), StorageError> {
        if self.sweep == Sweep::Nothing {
            return Ok(());
        }
        let mut left = Pages::new(self.catalog, keys::trash(algorithm));
        while let Some(page) = left.next().await? {
            for child in page.into_iter().filter(|child| self.is_abandoned(&child.name)) {
                let digest = keys::of_trashed(algorithm, &child.name);
                let trashed = keys::below(&keys::trash(algorithm), &child.name);
                let Some((digest, trashed)) = digest.zip(trashed) else { continue };
                let is_held = self.is_held(&digest).await?;
                self.empty_trash(&digest, &trashed, is_held).await?;
            }
        }
        Ok(())
    }

    /// Whether what lies in the trash under this name has been there for so long that nobody is at it.
    fn is_abandoned(&self, trashed: &str) -> bool {
        let Some(seconds) = keys::when_trashed(trashed) else { return true };
        let taken = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        // Behind a time that no clock shows nobody waits.
        taken.is_none_or(|taken| self.now.duration_since(taken).is_ok_and(|age| age >= ABANDONED))
    }

    /// Whether anybody has a blob.
    pub(super) async fn is_held(&self, digest: &Digest) -> Result<bool, StorageError> {
        Ok(HolderWalk::new(self.catalog, digest).next().await?.is_some())
    }

    async fn blob(&mut self, digest: &Digest) -> Result<(), StorageError> {
        let Some(size) = self.catalog.storage.size(&keys::blob(digest)).await? else { return Ok(()) };
        if self.sweep == Sweep::Ripe && !self.is_held(digest).await? {
            // The bytes are taken away first and holders looked for afterwards: a holder from before is seen, and who
            // comes later does not find the bytes, or takes them back from the trash.
            if let Some(trashed) = self.take_away(digest).await? {
                let is_held = self.is_held(digest).await?;
                self.empty_trash(digest, &trashed, is_held).await?;
                if !is_held {
                    self.round.blobs += 1;
                    self.round.bytes += size;
                    return Ok(());
                }
            }
        }
        self.round.stock.blobs += 1;
        self.round.stock.blob_bytes += size;
        Ok(())
    }

    /// Moves the bytes of a blob to the trash, under a name that nobody had or will have; nothing where they are gone.
    pub(super) async fn take_away(&self, digest: &Digest) -> Result<Option<Key>, StorageError> {
        let (storage, place) = (&self.catalog.storage, keys::blob(digest));
        let name = random::hex().map_err(|source| StorageError {
            kind: StorageErrorKind::Failed,
            storage: storage.describe(),
            operation: "find a name in the trash for",
            key: place.to_string(),
            source: source.into(),
        })?;
        let now =
            self.now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(self.begun.elapsed());
        let trashed = keys::trashed(digest, now.as_secs(), &name);
        Ok(storage.relocate(&place, &trashed).await?.then_some(trashed))
    }

    /// Removes what lies in the trash, or puts it back where somebody has it, as a look since it came there found.
    pub(super) async fn empty_trash(
        &self,
        digest: &Digest,
        trashed: &Key,
        is_held: bool,
    ) -> Result<(), StorageError> {
        if is_held {
            return self.catalog.put_back(digest, trashed).await;
        }
        let _gone = self.catalog.storage.delete(trashed, Condition::Always).await?;
        Ok(())
    }
}
