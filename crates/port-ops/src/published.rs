//! The index of all variants of a version: what is in it, and how one more goes in.

use port_backend::{Backend, Document};
use port_content::hashing::digest_of;
use port_layout::index::{Change, Conflict, IndexDocument, Merged, Strategy, merge};
use port_model::Bundle;

use crate::error::OpsError;
use crate::target::Target;

/// One variant that is to be in the index.
pub(crate) struct Entry<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) manifest: &'a [u8],
    pub(crate) strategy: Strategy,
}

/// Why an index cannot take an entry.
pub(crate) enum Refusal {
    /// Something is in the way.
    Conflict(Conflict),
    /// What is there is no index.
    Unreadable(String),
}

impl Entry<'_> {
    /// The index with this entry; `None` where it is in it already.
    pub(crate) fn merge(&self, existing: Option<&Document>) -> Result<Option<Document>, Refusal> {
        let read = |document: &Document| IndexDocument::read(&document.bytes, Some(&document.media_type));
        let existing =
            existing.map(read).transpose().map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let (digest, size) = (digest_of(self.manifest), self.manifest.len() as u64);
        let merged = merge(existing.as_ref(), self.bundle, digest, size, self.strategy);
        let Merged { index, change } = merged.map_err(Refusal::Conflict)?;
        if change == Change::Unchanged {
            return Ok(None);
        }
        Ok(Some(Document { media_type: index.media_type().to_owned(), bytes: index.to_bytes() }))
    }

    /// The same, its refusal in words.
    pub(crate) fn merge_words(&self, existing: Option<&Document>) -> Result<Option<Document>, String> {
        self.merge(existing).map_err(|refusal| match refusal {
            Refusal::Conflict(conflict) => conflict.to_string(),
            Refusal::Unreadable(reason) => reason,
        })
    }
}

/// Refuses what the index that is there now would not take.
pub(crate) async fn check(
    backend: &dyn Backend,
    target: Target<'_>,
    entry: &Entry<'_>,
) -> Result<(), OpsError> {
    let reference = &target.artifact.reference;
    let existing = backend.index(reference).await?;
    match entry.merge(existing.as_ref()) {
        Ok(_) => Ok(()),
        Err(Refusal::Conflict(conflict)) => Err(OpsError::AlreadyPublished {
            artifact: target.artifact.name.clone(),
            reference: reference.to_string(),
            source: Box::new(conflict),
        }),
        Err(Refusal::Unreadable(reason)) => Err(OpsError::WrongContent {
            location: reference.to_string(),
            artifact: target.artifact.name.clone(),
            variant: target.variant(),
            reason: format!("the tag is taken by something that is no index: {reason}"),
        }),
    }
}
