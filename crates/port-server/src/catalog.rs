//! What the storage holds, as repositories: blobs, manifests, tags, referrers and uploads. Both faces of the server stand on it.
//!
//! ```text
//! blobs/<algorithm>/<hh>/<hex>                                  bytes, once, whoever has them
//! holders/<algorithm>/<hex>/<repository>/_held                  a repository has that blob
//! repositories/<repository>/_manifests/<algorithm>/<hex>        one line about it, then the manifest
//! repositories/<repository>/_tags/<tag>                         which manifest a tag means
//! repositories/<repository>/_referrers/<subject>/<referrer>     who refers to a manifest that may not be there yet
//! sessions/<id>                                                 who may continue an upload
//! trash/…, quarantine/…                                         blobs that nobody has, blobs that rotted
//! ```
//!
//! Invariants: a blob is read through a repository only if that repository has it; a manifest's blobs are there when it is put;
//! a tag is written last; a blob that a manifest names is not swept (`collect`). The referrers can be derived from the manifests, and so can what blobs are needed.
//! CRASH: a kill in the middle leaves a blob without a holder, or an entry of a referrer that is not there, which readers skip.

mod blobs;
mod callers;
pub mod collect;
mod document;
mod keys;
mod leases;
mod manifests;
mod referrers;
mod scrub;
mod sound;
mod tags;
mod upload_body;
mod uploads;

use std::sync::Arc;

pub use document::{Draft, DraftError};
pub use manifests::{Expected, ManifestError, PutManifest, Sparse, StoredManifest};
pub use scrub::Verdict;
pub use tags::TagTarget;
pub use upload_body::{BodyError, BodyStream};
pub use uploads::{UploadError, UploadId};

use crate::limits::{BlobLimit, Limits};
use crate::storage::Storage;

/// See the module.
#[derive(Clone)]
pub struct Catalog {
    storage: Arc<dyn Storage>,
    sparse: Sparse,
    hashes: uploads::Hashes,
    known: sound::Known,
    callers: callers::Callers,
    blob_limits: Arc<[BlobLimit]>,
}

impl Catalog {
    /// What `storage` holds.
    pub fn new(storage: Arc<dyn Storage>, sparse: Sparse) -> Self {
        Self {
            storage,
            sparse,
            hashes: uploads::Hashes::default(),
            known: sound::Known::default(),
            callers: callers::Callers::new(usize::MAX),
            blob_limits: Arc::default(),
        }
    }

    /// The same, where callers may not have everything.
    #[must_use]
    pub fn with_limits(self, limits: &Limits) -> Self {
        let callers = callers::Callers::new(limits.uploads_per_caller);
        Self { callers, blob_limits: limits.blobs.as_slice().into(), ..self }
    }

    /// The storage itself, for questions about it.
    pub fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }
}
