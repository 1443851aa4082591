//! What can go wrong in the store.

use std::path::PathBuf;

use port_content::FsError;
use port_content::verify::Mismatch;
use port_model::Digest;

/// A failed store operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("the store at `{}` cannot be used", root.display())]
    Files {
        /// Which store.
        root: PathBuf,
        /// What failed.
        #[source]
        source: FsError,
    },
    /// A file outside the store refused.
    #[error(transparent)]
    Outside(FsError),
    /// A file was written while it was being added.
    #[error("`{}` changed while it was read; nothing was added to the store", path.display())]
    ChangedMeanwhile {
        /// Which file.
        path: PathBuf,
    },
    /// A file outside the store has other bytes than it had, and nobody wrote to it.
    #[error(
        "`{}` is damaged: nobody wrote to it, expected {expected}, found {found}; nothing was added to the store",
        path.display()
    )]
    Rotten {
        /// Which file.
        path: PathBuf,
        /// What it held.
        expected: Digest,
        /// What it holds.
        found: Digest,
    },
    /// The store has blobs and no index that says what they are.
    #[error("the store at `{}` has blobs and no `index.json`: all of them would be collected", root.display())]
    NoIndex {
        /// Which store.
        root: PathBuf,
    },
    /// A document of the store is not what it should be.
    #[error("`{}` is damaged: expected {expected}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What the JSON reader says.
        #[source]
        source: serde_json::Error,
    },
    /// The store was written by a newer Port.
    #[error("the store at `{}` has format version {found}: this Port reads version {known}", root.display())]
    Version {
        /// Which store.
        root: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The store needs a feature that this Port lacks.
    #[error("the store at `{}` uses the feature `{feature}`, which this Port does not know", root.display())]
    Feature {
        /// Which store.
        root: PathBuf,
        /// Which feature.
        feature: String,
    },
    /// Bytes that are not the ones that were named.
    #[error("`{subject}` is not what it should be; nothing was added to the store")]
    Mismatch {
        /// What was being added.
        subject: String,
        /// Expected and found.
        #[source]
        source: Mismatch,
    },
    /// A blob is asked for that is not there.
    #[error("the store at `{}` has no blob {digest}", root.display())]
    NoBlob {
        /// Which store.
        root: PathBuf,
        /// Which blob.
        digest: Digest,
    },
    /// A blob in the store has another size than its descriptor says.
    #[error("the blob {digest} in the store has {found} bytes, expected {expected}")]
    Damaged {
        /// Which blob.
        digest: Digest,
        /// Size by its descriptor, in bytes.
        expected: u64,
        /// Size on disk, in bytes.
        found: u64,
    },
}
