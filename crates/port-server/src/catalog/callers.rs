//! How many uploads a caller has begun and not ended, as far as this server saw them begin. A caller at its limit is not believed to be
//! there before the storage was asked: sessions that were swept, or ended at another server, count no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Catalog, UploadError, UploadId, keys};
use crate::limits::largest_blob;
use crate::name::RepositoryName;
use crate::storage::StorageError;

/// See the module.
#[derive(Clone)]
pub(super) struct Callers {
    most: usize,
    begun: Arc<Mutex<HashMap<UploadId, String>>>,
}

impl Callers {
    pub(super) fn new(most: usize) -> Self {
        Self { most, begun: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UploadId, String>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, principal: &str) -> Vec<UploadId> {
        let begun = self.lock();
        begun.iter().filter(|(_, owner)| *owner == principal).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn ended(&self, id: &UploadId) {
        self.lock().remove(id);
    }
}

impl Catalog {
    /// Counts one more upload of a caller, if it may have one.
    pub(super) async fn admit_upload(&self, principal: &str, id: &UploadId) -> Result<(), UploadError> {
        let begun = self.callers.of(principal);
        if !begun.contains(id) && begun.len() >= self.callers.most && !self.forget_swept(&begun).await? {
            return Err(UploadError::TooMany { most: self.callers.most });
        }
        self.callers.lock().insert(id.clone(), principal.to_owned());
        Ok(())
    }

    /// Forgets sessions that are gone; true if there was one.
    async fn forget_swept(&self, begun: &[UploadId]) -> Result<bool, StorageError> {
        let mut some = false;
        for id in begun {
            if self.storage.size(&keys::session(id.as_str())).await?.is_none() {
                self.callers.ended(id);
                some = true;
            }
        }
        Ok(some)
    }

    /// The largest blob that a repository takes.
    pub(super) fn largest_blob(&self, repository: &RepositoryName) -> u64 {
        largest_blob(&self.blob_limits, repository)
    }
}
