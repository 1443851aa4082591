//! Blobs that no repository has.

use port_model::Digest;

use super::{ALGORITHMS, Collection, Pages, Sweep};
use crate::catalog::blobs::HolderWalk;
use crate::catalog::keys;
use crate::storage::{Condition, StorageError};

impl Collection<'_> {
    /// Counts blobs, and removes those that nobody has.
    pub(super) async fn blobs(&mut self) -> Result<(), StorageError> {
        for algorithm in ALGORITHMS {
            // What a collection left that was killed.
            let mut left = Pages::new(self.catalog, keys::trash(algorithm));
            while let Some(digests) = left.digests(algorithm).await? {
                for digest in digests {
                    self.empty_trash(&digest).await?;
                }
            }
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

    async fn is_held(&self, digest: &Digest) -> Result<bool, StorageError> {
        Ok(HolderWalk::new(self.catalog, digest).next().await?.is_some())
    }

    async fn blob(&mut self, digest: &Digest) -> Result<(), StorageError> {
        let (storage, place) = (&self.catalog.storage, keys::blob(digest));
        let Some(size) = storage.size(&place).await? else { return Ok(()) };
        if self.sweep == Sweep::Ripe && !self.is_held(digest).await? {
            // The bytes are taken away first and holders looked for afterwards: a holder from before is seen, and who
            // comes later does not find the bytes, or takes them back from the trash.
            if storage.relocate(&place, &keys::trashed(digest)).await? && self.empty_trash(digest).await? {
                self.round.blobs += 1;
                self.round.bytes += size;
                return Ok(());
            }
        }
        self.round.stock.blobs += 1;
        self.round.stock.blob_bytes += size;
        Ok(())
    }

    /// Removes a blob that lies in the trash, or puts it back where somebody has it by now; true if it is gone.
    async fn empty_trash(&self, digest: &Digest) -> Result<bool, StorageError> {
        let (storage, trashed) = (&self.catalog.storage, keys::trashed(digest));
        let is_held = self.is_held(digest).await?;
        if is_held {
            // First the place, then the trash: it is always in one of them.
            storage.copy(&trashed, &keys::blob(digest)).await?;
        }
        let _gone = storage.delete(&trashed, Condition::Always).await?;
        Ok(!is_held)
    }
}
