//! Uploads that nobody continues.

use super::{Collection, PAGE, Pages, Sweep};
use crate::catalog::{UploadId, keys};
use crate::storage::{Condition, StorageError};

impl Collection<'_> {
    /// Drops uploads at which nobody was for long, and sessions without bytes.
    pub(super) async fn uploads(&mut self) -> Result<(), StorageError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.catalog.storage.uploads(after.as_deref(), PAGE).await?;
            for upload in &page {
                self.round.stock.uploads += 1;
                self.round.stock.upload_bytes += upload.size;
                let idle = self.now.duration_since(upload.changed).unwrap_or_default();
                let Some(id) = UploadId::parse(&upload.name) else { continue };
                if self.sweep == Sweep::Ripe && idle >= self.patience.uploads {
                    self.catalog.drop_upload(&id).await?;
                    self.round.uploads += 1;
                    self.round.bytes += upload.size;
                }
            }
            if page.len() < PAGE {
                break;
            }
            after = page.last().map(|upload| upload.name.clone());
        }
        self.sessions().await?;
        // Last: it may need permissions that nothing else here needs.
        self.catalog.storage.tidy().await
    }

    /// A session whose bytes are gone was ended by a kill: nobody can continue it. One that just begins has its bytes in a moment,
    /// and a client that finds it gone begins again.
    async fn sessions(&mut self) -> Result<(), StorageError> {
        if self.sweep == Sweep::Nothing {
            return Ok(());
        }
        let mut pages = Pages::new(self.catalog, keys::sessions());
        while let Some(page) = pages.next().await? {
            for child in page {
                let Some(id) = UploadId::parse(&child.name) else { continue };
                if self.catalog.storage.upload_size(&keys::upload(id.as_str())).await?.is_none() {
                    let key = keys::session(id.as_str());
                    let _gone_already = self.catalog.storage.delete(&key, Condition::Always).await?;
                }
            }
        }
        Ok(())
    }
}
