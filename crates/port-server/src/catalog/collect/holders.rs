//! Which repositories have which blobs, and which of them name them.

use std::collections::HashMap;

use port_model::Digest;

use super::{ALGORITHMS, Collection, Pages, Sweep};
use crate::catalog::blobs::HolderWalk;
use crate::catalog::keys;
use crate::catalog::leases::Holding;
use crate::name::RepositoryName;
use crate::storage::{Condition, Key, Outcome, StorageError};

/// Holders that may be swept, by key, and as what.
pub(super) type Ripe = HashMap<Key, Condition>;

impl Collection<'_> {
    /// The holders whose marks are old enough. They are read before any manifest is.
    pub(super) async fn ripe_holders(&self) -> Result<Ripe, StorageError> {
        let mut ripe = Ripe::new();
        if self.sweep == Sweep::Nothing {
            return Ok(ripe);
        }
        for algorithm in ALGORITHMS {
            let mut pages = Pages::new(self.catalog, keys::all_holders(algorithm));
            while let Some(digests) = pages.digests(algorithm).await? {
                for digest in digests {
                    let mut walk = HolderWalk::new(self.catalog, &digest);
                    while let Some(repository) = walk.next().await? {
                        let key = keys::holder(&digest, &repository);
                        if let Some(Holding::Condemned { mark, condition }) =
                            self.catalog.holding(&key).await?
                            && mark.is_ripe(self.now, self.patience.blobs)
                        {
                            ripe.insert(key, condition);
                        }
                    }
                }
            }
        }
        Ok(ripe)
    }

    /// Condemns, renews or removes every holder.
    pub(super) async fn holders(&mut self, ripe: Ripe) -> Result<(), StorageError> {
        for algorithm in ALGORITHMS {
            let mut pages = Pages::new(self.catalog, keys::all_holders(algorithm));
            while let Some(digests) = pages.digests(algorithm).await? {
                for digest in digests {
                    let mut walk = HolderWalk::new(self.catalog, &digest);
                    while let Some(repository) = walk.next().await? {
                        self.holder(&digest, &repository, &ripe).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn holder(
        &mut self,
        digest: &Digest,
        repository: &RepositoryName,
        ripe: &Ripe,
    ) -> Result<(), StorageError> {
        let key = keys::holder(digest, repository);
        let is_named = self.named.get(repository).is_some_and(|named| named.contains(digest));
        if is_named || self.untouchable.contains(repository) {
            self.catalog.renew_holder(&key).await?;
            return Ok(());
        }
        match (self.catalog.holding(&key).await?, ripe.get(&key)) {
            (None, _) => {}
            (Some(Holding::Condemned { .. }), Some(condition)) => {
                let swept = self.catalog.storage.delete(&key, condition.clone()).await?;
                self.round.holders += u64::from(swept == Outcome::Done);
            }
            // A mark of a clock that was ahead would never ripen.
            (Some(Holding::Condemned { mark, .. }), None) if !mark.is_from_the_future(self.now) => {}
            (Some(_), _) => {
                let condemned = self.catalog.condemn_holder(&key, self.now).await?;
                self.round.holders_condemned += u64::from(condemned == Outcome::Done);
            }
        }
        Ok(())
    }
}
