//! Where a control plane keeps its bytes: few operations, each of which an object store can do as well as a folder.
//!
//! Objects are written whole and never change in place. Small documents are written under a [`Condition`], which is how several
//! servers agree without a lock between them. Large bytes arrive in a staging area of their own and become an object in one step.
//!
//! What the rest of the crate relies on, and `contract.rs` tests of every implementation:
//! 1. An object that can be read is complete. A kill leaves the old object or the new one.
//! 2. What a finished call wrote survives a kill and a power cut; what was appended to an upload survives a kill.
//! 3. Of several writers under [`Condition::Absent`], or under [`Condition::Version`] with the same version, one wins.

mod folder;
mod key;
mod s3;

use std::pin::Pin;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

pub use folder::Folder;
pub use key::{Key, KeyError};
pub use s3::{
    AddressError, Bucket, Credentials, Endpoint, OpenError, Region, S3, S3Settings, SCHEME, Transport,
};

/// Bytes of an object as they are read, in large pieces.
pub type ByteStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// A failed storage operation. That something is not there is no failure.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} `{key}` in the storage {storage}")]
pub struct StorageError {
    /// What kind of failure.
    pub kind: StorageErrorKind,
    /// Which storage, as the operator wrote it.
    pub storage: String,
    /// What was tried, as an infinitive.
    pub operation: &'static str,
    /// With which object.
    pub key: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What callers need to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// There is no room left.
    Full,
    /// It can be read and not written.
    ReadOnly,
    /// Everything else.
    Failed,
}

/// When a document may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Always,
    /// Only where nothing is.
    Absent,
    /// Only in place of exactly this.
    Version(Version),
}

/// Which content a document has; opaque outside the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

/// Whether a conditional operation took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It did.
    Done,
    /// The condition did not hold; nothing changed.
    Refused,
}

/// A small object in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its bytes.
    pub bytes: Bytes,
    /// To write in its place.
    pub version: Version,
}

/// A large object, being read.
pub struct Content {
    /// Size of the whole object.
    pub size: u64,
    /// The bytes that were asked for.
    pub stream: ByteStream,
}

/// Which bytes of an object, both ends inclusive, as HTTP counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
}

impl ByteRange {
    /// How many bytes these are.
    pub fn length(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// What one level of the tree of keys holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// The last part of its key.
    pub name: String,
    /// Whether it is an object or has more below it.
    pub kind: ChildKind,
}

/// See [`Child`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChildKind {
    /// An object.
    Object,
    /// A prefix of further keys.
    Prefix,
}

/// An upload that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedUpload {
    /// The name that it was begun under.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it last changed.
    pub changed: SystemTime,
}

/// The operations. Implementations are called from many tasks, and by several processes over the same place.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// What it is, for logs.
    fn describe(&self) -> String;

    /// How many bytes it likes to get at once, of an upload that has `at` bytes.
    fn piece(&self, _at: u64) -> u64 {
        1 << 20
    }

    /// Removes what a kill left that no listing shows. Asked for now and then.
    async fn tidy(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Whether it can be written now.
    async fn ready(&self) -> Result<(), StorageError>;

    /// The size of an object.
    async fn size(&self, key: &Key) -> Result<Option<u64>, StorageError>;

    /// Reads a large object, or some of it. The range must lie inside the object.
    async fn open(&self, key: &Key, range: Option<ByteRange>) -> Result<Option<Content>, StorageError>;

    /// Reads a small object of at most `limit` bytes.
    async fn read(&self, key: &Key, limit: u64) -> Result<Option<Document>, StorageError>;

    /// Writes a small object.
    async fn put(&self, key: &Key, bytes: Bytes, condition: Condition) -> Result<Outcome, StorageError>;

    /// Removes an object; [`Condition::Absent`] is refused by everything that is there.
    async fn delete(&self, key: &Key, condition: Condition) -> Result<Outcome, StorageError>;

    /// Makes `to` an object with the bytes of `from`, without moving them where that is possible; false where `from` is absent.
    async fn copy(&self, from: &Key, to: &Key) -> Result<bool, StorageError>;

    /// Moves whatever object is at `from` at that moment to `to`, in place of what was there; false where nothing is. What is put
    /// at `from` meanwhile stays there.
    async fn relocate(&self, from: &Key, to: &Key) -> Result<bool, StorageError>;

    /// What is directly below a prefix, by name, behind `after`, at most `limit`.
    async fn list(&self, prefix: &Key, after: Option<&str>, limit: usize)
    -> Result<Vec<Child>, StorageError>;

    /// Begins an empty upload; one that is there already stays.
    async fn begin_upload(&self, upload: &Key) -> Result<(), StorageError>;

    /// How many bytes an upload has.
    async fn upload_size(&self, upload: &Key) -> Result<Option<u64>, StorageError>;

    /// Appends to an upload that has exactly `at` bytes. Refused where it has another size, is gone, or another writer is at it.
    async fn append(&self, upload: &Key, at: u64, bytes: Bytes) -> Result<Outcome, StorageError>;

    /// Reads back what an upload has.
    async fn open_upload(&self, upload: &Key) -> Result<Option<Content>, StorageError>;

    /// Makes an upload the object `key`, in place of one with the same bytes. Refused where the upload is gone or has another size.
    async fn finish_upload(&self, upload: &Key, size: u64, key: &Key) -> Result<Outcome, StorageError>;

    /// The uploads that have not ended, by name, behind `after`, at most `limit`.
    async fn uploads(&self, after: Option<&str>, limit: usize) -> Result<Vec<StagedUpload>, StorageError>;

    /// Drops an upload; false where there is none.
    async fn delete_upload(&self, upload: &Key) -> Result<bool, StorageError>;
}
