//! What the storage holds, as repositories: blobs, manifests, tags, referrers and uploads. Both faces of the server stand on it.
//!
//! ```text
//! blobs/<algorithm>/<hh>/<hex>                                  bytes, once, whoever has them
//! holders/<algorithm>/<hex>/<repository>/_held                  a repository has that blob
//! repositories/<repository>/_manifests/<algorithm>/<hex>        one line about it, then the manifest
//! repositories/<repository>/_tags/<tag>                         which manifest a tag means
//! repositories/<repository>/_referrers/<subject>/<referrer>     who refers to a manifest that may not be there yet
//! sessions/<id>                                                 who may continue an upload
//! ```
//!
//! Invariants: a blob is read through a repository only if that repository has it; a manifest's blobs are there when it is put;
//! a tag is written last. The referrers can be derived from the manifests, and so can what blobs are needed.
//! CRASH: a kill in the middle leaves a blob without a holder, or an entry of a referrer that is not there, which readers skip.

mod blobs;
mod document;
mod keys;
mod manifests;
mod referrers;
mod tags;
mod upload_body;
mod uploads;

use std::sync::Arc;

use port_model::Digest;

pub use document::{Draft, DraftError};
pub use manifests::{Expected, ManifestError, PutManifest, Sparse, StoredManifest};
pub use tags::TagTarget;
pub use upload_body::{BodyError, BodyStream};
pub use uploads::{UploadError, UploadId};

use crate::name::RepositoryName;
use crate::storage::{Storage, StorageError};

/// See the module.
#[derive(Clone)]
pub struct Catalog {
    storage: Arc<dyn Storage>,
    sparse: Sparse,
    hashes: uploads::Hashes,
}

impl Catalog {
    /// What `storage` holds.
    pub fn new(storage: Arc<dyn Storage>, sparse: Sparse) -> Self {
        Self { storage, sparse, hashes: uploads::Hashes::default() }
    }

    /// The storage itself, for questions about it.
    pub fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// Whether a repository has a blob.
    pub async fn holds(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        Ok(self.storage.size(&keys::holder(digest, repository)).await?.is_some())
    }
}
