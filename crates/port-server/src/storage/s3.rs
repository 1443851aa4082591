//! An S3 bucket as storage: one object per key below a prefix, and conditional writes in place of locks and of a database.
//!
//! ```text
//! Storage ─► objects    one object: look, read, write and remove under a condition, copy
//!        ├─► reading    streams, continued where they break            ┐
//!        ├─► listing    levels of the tree                             ├─► client ─► sign, address, failure, xml
//!        └─► uploads    parts as objects ─► multipart: put together    ┘   (tries, bounds)
//! ```
//!
//! A version is an ETag, so that a write of the same bytes is the same version, as in a folder. What a server must keep is tried before it
//! is used (`probe`). Servers without conditional removals are used without collecting garbage: nothing is lost, nothing goes.
//!
//! Off-spec: a copy at S3 takes room, unlike a folder's hard link. And where a damaged object has the ETag of the sound one that is
//! pushed in its place at that very moment, moving it aside takes both: the next push brings it again.

mod address;
mod client;
mod failure;
mod listing;
mod multipart;
mod objects;
mod probe;
mod reading;
mod sign;
#[cfg(test)]
mod tests;
mod uploads;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use address::{AddressError, Bucket, Credentials, Endpoint, Region, SCHEME, Transport};
use client::{Client, Patience, STALL};
use failure::Failure;
use objects::Removals;
use uploads::Uploads;

use super::{
    ByteRange, Child, Condition, Content, Document, Key, Outcome, StagedUpload, Storage, StorageError,
};
use crate::gate::Clock;

const PATIENCE: Patience = Patience { pause: Duration::from_millis(100), stall: STALL };
/// What is appended to an upload at once, at least: S3 puts nothing smaller together without reading it.
const PIECE: u64 = 8 << 20;
/// How many pieces of one size there are before they become larger, so that there are never too many.
const PIECES: u64 = 4096;

/// What a bucket is opened with.
#[derive(Clone)]
pub struct S3Settings {
    /// Which bucket, and what of it.
    pub bucket: Bucket,
    /// Whom to ask.
    pub endpoint: Endpoint,
    /// The region that requests are signed for.
    pub region: Region,
    /// Who asks.
    pub credentials: Credentials,
    /// What time it is.
    pub clock: Clock,
}

/// Why a bucket is not used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There can be no HTTPS client.
    #[error("no client for {storage} can be made")]
    Client {
        /// Which bucket.
        storage: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// It cannot be used now.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It does not keep what several servers on one bucket rely on.
    #[error("the S3 server of {storage} is not safe to use: it {lack}")]
    Unsafe {
        /// Which bucket.
        storage: String,
        /// What it does.
        lack: &'static str,
    },
}

/// See the module.
pub struct S3 {
    client: Arc<Client>,
    uploads: Uploads,
    removals: Removals,
}

impl S3 {
    /// Opens a bucket, and tries whether its server keeps what is needed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: S3Settings) -> Result<Self, OpenError> {
        let found = Self::with(settings, PATIENCE, Removals::Conditional)?;
        let probed = probe::probe(&found.client).await;
        match probed.map_err(|failure| found.failed("try conditional writes below", "_probe", failure))? {
            Ok(Removals::Conditional) => Ok(found),
            Ok(removals) => Ok(Self::of(found.client, removals)),
            Err(lack) => Err(OpenError::Unsafe { storage: found.describe(), lack: lack.words() }),
        }
    }

    /// Whether what nobody needs can be removed here: where not, collection condemns and nothing more.
    fn collects(&self) -> bool {
        self.removals == Removals::Conditional
    }

    fn with(settings: S3Settings, patience: Patience, removals: Removals) -> Result<Self, OpenError> {
        let S3Settings { bucket, endpoint, region, credentials, clock } = settings;
        let storage = bucket.to_string();
        let client = Client::new(bucket, endpoint, region, credentials, clock, patience);
        let client = client.map_err(|source| OpenError::Client { storage, source })?;
        Ok(Self::of(Arc::new(client), removals))
    }

    fn of(client: Arc<Client>, removals: Removals) -> Self {
        Self { uploads: Uploads::new(Arc::clone(&client), removals), client, removals }
    }

    fn failed(&self, operation: &'static str, key: &str, failure: Failure) -> StorageError {
        let (kind, storage) = (failure.kind(), self.describe());
        StorageError { kind, storage, operation, key: key.to_owned(), source: Box::new(failure) }
    }
}

#[async_trait]
impl Storage for S3 {
    fn describe(&self) -> String {
        let bucket = self.client.bucket();
        if self.collects() { bucket.to_string() } else { format!("{bucket} (nothing can be collected here)") }
    }

    fn piece(&self, at: u64) -> u64 {
        PIECE.max(at.div_ceil(PIECES))
    }

    async fn ready(&self) -> Result<(), StorageError> {
        let written = objects::put(&self.client, "_ready", Bytes::new(), &Condition::Always).await;
        written.map(drop).map_err(|failure| self.failed("write", "_ready", failure))
    }

    async fn tidy(&self) -> Result<(), StorageError> {
        let ended = multipart::tidy(&self.client).await;
        ended.map(drop).map_err(|failure| self.failed("tidy up below", "", failure))
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StorageError> {
        let found = objects::head(&self.client, key.as_str()).await;
        let size = found.map(|found| found.map(|found| found.size));
        size.map_err(|failure| self.failed("look for", key.as_str(), failure))
    }

    async fn open(&self, key: &Key, range: Option<ByteRange>) -> Result<Option<Content>, StorageError> {
        let content = reading::open(&self.client, key.as_str(), range).await;
        content.map_err(|failure| self.failed("read", key.as_str(), failure))
    }

    async fn read(&self, key: &Key, limit: u64) -> Result<Option<Document>, StorageError> {
        let document = objects::read(&self.client, key.as_str(), limit).await;
        document.map_err(|failure| self.failed("read", key.as_str(), failure))
    }

    async fn put(&self, key: &Key, bytes: Bytes, condition: Condition) -> Result<Outcome, StorageError> {
        let written = objects::put(&self.client, key.as_str(), bytes, &condition).await;
        written.map_err(|failure| self.failed("write", key.as_str(), failure))
    }

    async fn delete(&self, key: &Key, condition: Condition) -> Result<Outcome, StorageError> {
        let removed = objects::delete(&self.client, self.removals, key.as_str(), &condition).await;
        removed.map_err(|failure| self.failed("remove", key.as_str(), failure))
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<bool, StorageError> {
        let copied = objects::copy(&self.client, from.as_str(), to.as_str()).await;
        let copied = copied.map(|copied| copied.is_some());
        copied.map_err(|failure| self.failed("copy to", to.as_str(), failure))
    }

    async fn relocate(&self, from: &Key, to: &Key) -> Result<bool, StorageError> {
        let moved = objects::relocate(&self.client, self.removals, from.as_str(), to.as_str()).await;
        moved.map_err(|failure| self.failed("move to", to.as_str(), failure))
    }

    async fn list(
        &self,
        prefix: &Key,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError> {
        let found = listing::children(&self.client, &format!("{prefix}/"), after, limit).await;
        found.map_err(|failure| self.failed("list", prefix.as_str(), failure))
    }

    async fn begin_upload(&self, upload: &Key) -> Result<(), StorageError> {
        let begun = self.uploads.begin(upload.as_str()).await;
        begun.map_err(|failure| self.failed("begin", upload.as_str(), failure))
    }

    async fn upload_size(&self, upload: &Key) -> Result<Option<u64>, StorageError> {
        let size = self.uploads.size(upload.as_str()).await;
        size.map_err(|failure| self.failed("look for", upload.as_str(), failure))
    }

    async fn append(&self, upload: &Key, at: u64, bytes: Bytes) -> Result<Outcome, StorageError> {
        let appended = self.uploads.append(upload.as_str(), at, bytes).await;
        appended.map_err(|failure| self.failed("append to", upload.as_str(), failure))
    }

    async fn open_upload(&self, upload: &Key) -> Result<Option<Content>, StorageError> {
        let content = self.uploads.open(upload.as_str()).await;
        content.map_err(|failure| self.failed("read", upload.as_str(), failure))
    }

    async fn finish_upload(&self, upload: &Key, size: u64, key: &Key) -> Result<Outcome, StorageError> {
        let finished = self.uploads.finish(upload.as_str(), size, key.as_str()).await;
        finished.map_err(|failure| self.failed("finish", key.as_str(), failure))
    }

    async fn uploads(&self, after: Option<&str>, limit: usize) -> Result<Vec<StagedUpload>, StorageError> {
        let found = self.uploads.list(after, limit).await;
        found.map_err(|failure| self.failed("list", "_uploads", failure))
    }

    async fn delete_upload(&self, upload: &Key) -> Result<bool, StorageError> {
        let removed = self.uploads.delete(upload.as_str()).await;
        removed.map_err(|failure| self.failed("remove", upload.as_str(), failure))
    }
}
