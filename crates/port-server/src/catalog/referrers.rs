//! Referrers: who says of itself that it refers to a manifest.

use bytes::Bytes;
use port_content::limit;
use port_model::Digest;

use super::document::Referrer;
use super::{Catalog, keys};
use crate::name::RepositoryName;
use crate::storage::{Condition, StorageError};

/// The most referrers that are listed of one manifest.
const MOST_REFERRERS: usize = 10_000;

impl Catalog {
    pub(super) async fn put_referrer(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        entry: &Referrer,
    ) -> Result<(), StorageError> {
        let key = keys::referrer(repository, subject, &entry.digest);
        // Strings and numbers always have a JSON form.
        let text = serde_json::to_vec(entry).unwrap_or_default();
        let _written = self.storage.put(&key, Bytes::from(text), Condition::Always).await?;
        Ok(())
    }

    /// The manifests of the repository that refer to `subject`, by digest.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Referrer>, StorageError> {
        let prefix = keys::referrers(repository, subject);
        let mut found = Vec::new();
        for child in self.storage.list(&prefix, None, MOST_REFERRERS).await? {
            let Some(key) = keys::below(&prefix, &child.name) else { continue };
            let Some(document) = self.storage.read(&key, limit::RECORD).await? else { continue };
            let Ok(entry) = serde_json::from_slice::<Referrer>(&document.bytes) else { continue };
            if self.storage.size(&keys::manifest(repository, &entry.digest)).await?.is_some() {
                found.push(entry);
            }
        }
        Ok(found)
    }
}
