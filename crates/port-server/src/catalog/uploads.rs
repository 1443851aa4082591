//! Uploads: bytes on their way to being a blob. A session is a document and staged bytes, so it outlives the server.
//!
//! ```text
//! begin ─► append (from where it is) ─► append … ─► finish(digest): checked, flushed, given its name, had by the repository
//!             └─ cut: what arrived stays; the client asks where it is and continues
//! ```
//!
//! The running hash of a session is kept in memory by the server that takes its bytes. Another server, or this one after a restart,
//! reads the staged bytes once instead. NOTE: the digest decides; bytes that a power cut spoiled are found out here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use port_content::hashing::{Hasher, digest_of};
use port_content::limit;
use port_model::Digest;
use port_model::digest::Algorithm;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;

use super::upload_body::{BodyError, BodyStream, Pieces};
use super::{Catalog, keys};
use crate::name::RepositoryName;
use crate::storage::{Condition, Outcome, StorageError};

/// The name of a session: 128 random bits, or what a client derives from the bytes that it sends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// A name that nobody can guess.
    pub fn random() -> std::io::Result<Self> {
        Ok(Self(crate::random::hex()?))
    }

    /// The one name for what these words say, so that nobody has to remember it.
    pub fn derived(words: &[&str]) -> Self {
        Self(digest_of(words.join("\n").as_bytes()).hex().to_owned())
    }

    /// A name from a request.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = matches!(text.len(), 32 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who may continue a session.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    repository: String,
    principal: String,
}

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is no such session for this repository and this caller.
    #[error("there is no such upload")]
    Unknown,
    /// The bytes do not begin where the upload ends.
    #[error("the upload has {offset} bytes: the next ones begin there")]
    OutOfOrder {
        /// Where it ends.
        offset: u64,
    },
    /// The bytes are others than named.
    #[error("the bytes have the digest {found}: the request names {expected}")]
    Digest {
        /// As named.
        expected: Digest,
        /// As found.
        found: Digest,
    },
    /// The caller has begun too many that it did not end.
    #[error("this caller has {most} uploads that have not ended: end or cancel some first")]
    TooMany {
        /// How many it may have.
        most: usize,
    },
    /// The body broke off.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The operating system gives no random numbers.
    #[error("no random name can be made")]
    Random(#[from] std::io::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The running hashes of this server's sessions.
#[derive(Clone, Default)]
pub(super) struct Hashes(Arc<Mutex<HashMap<UploadId, Arc<AsyncMutex<Hasher>>>>>);

impl Hashes {
    fn of(&self, id: &UploadId) -> Arc<AsyncMutex<Hasher>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(id.clone()).or_default())
    }

    fn forget(&self, id: &UploadId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Catalog {
    /// Begins a session under this name; one that is there and is the same caller's goes on.
    pub async fn begin_upload(
        &self,
        repository: &RepositoryName,
        principal: &str,
        id: &UploadId,
    ) -> Result<u64, UploadError> {
        let session = Session { repository: repository.to_string(), principal: principal.to_owned() };
        // Two strings always have a JSON form.
        let text = serde_json::to_vec(&session).unwrap_or_default();
        self.admit_upload(principal, id).await?;
        // The bytes first: collection drops a session that has none.
        let upload = keys::upload(id.as_str());
        self.storage.begin_upload(&upload).await?;
        let _there_already =
            self.storage.put(&keys::session(id.as_str()), text.into(), Condition::Absent).await?;
        if !self.may_continue(repository, principal, id).await? {
            return Err(UploadError::Unknown);
        }
        Ok(self.storage.upload_size(&upload).await?.unwrap_or(0))
    }

    /// How many bytes a session has.
    pub async fn upload_offset(
        &self,
        repository: &RepositoryName,
        principal: &str,
        id: &UploadId,
    ) -> Result<u64, UploadError> {
        if !self.may_continue(repository, principal, id).await? {
            return Err(UploadError::Unknown);
        }
        self.storage.upload_size(&keys::upload(id.as_str())).await?.ok_or(UploadError::Unknown)
    }

    async fn may_continue(
        &self,
        repository: &RepositoryName,
        principal: &str,
        id: &UploadId,
    ) -> Result<bool, StorageError> {
        let found = self.storage.read(&keys::session(id.as_str()), limit::RECORD).await?;
        let session: Option<Session> = found.and_then(|found| serde_json::from_slice(&found.bytes).ok());
        Ok(session.is_some_and(|session| {
            session.repository == repository.as_str() && session.principal == principal
        }))
    }

    /// Appends a body. `at` is where its first byte belongs, where the client says so. Gives where the upload ends then.
    ///
    /// # Errors
    /// [`UploadError`]; what arrived before the body broke off is kept.
    pub async fn append_upload(
        &self,
        repository: &RepositoryName,
        principal: &str,
        id: &UploadId,
        at: Option<u64>,
        body: BodyStream,
    ) -> Result<u64, UploadError> {
        let hash = self.hash_of(repository, principal, id).await?;
        // One connection at a time: who comes second waits for what the first one brought.
        let mut hasher = hash.lock().await;
        let mut offset = self.offset_or_forget(repository, principal, id).await?;
        if at.is_some_and(|at| at != offset) {
            return Err(UploadError::OutOfOrder { offset });
        }
        let upload = keys::upload(id.as_str());
        let mut pieces = Pieces::new(body);
        let limit = self.largest_blob(repository);
        let mut next = pieces.next(self.storage.piece(offset)).await?;
        while !next.is_empty() {
            let piece = next;
            let length = piece.len() as u64;
            if length > limit.saturating_sub(offset) {
                return Err(BodyError::TooLarge { limit }.into());
            }
            let follows = hasher.size() == offset;
            let (written, hashed, following) = tokio::join!(
                self.storage.append(&upload, offset, piece.clone()),
                hashed(&mut hasher, piece, follows),
                pieces.next(self.storage.piece(offset + length)),
            );
            if written? == Outcome::Refused {
                *hasher = Hasher::default();
                let offset = self.offset_or_forget(repository, principal, id).await?;
                return Err(UploadError::OutOfOrder { offset });
            }
            hashed?;
            offset += length;
            next = following?;
        }
        Ok(offset)
    }

    /// Makes a session's bytes a blob of the repository, if they have the digest that is expected of them.
    ///
    /// # Errors
    /// [`UploadError`]; a session whose bytes are wrong is dropped.
    pub async fn finish_upload(
        &self,
        repository: &RepositoryName,
        principal: &str,
        id: &UploadId,
        expected: Option<&Digest>,
    ) -> Result<(Digest, u64), UploadError> {
        let hash = self.hash_of(repository, principal, id).await?;
        let hasher = hash.lock().await;
        let size = self.offset_or_forget(repository, principal, id).await?;
        let algorithm = expected.map_or(Algorithm::Sha256, Digest::algorithm);
        let known = algorithm == Algorithm::Sha256 && hasher.size() == size;
        let found = if known { hasher.clone().finish() } else { self.staged_digest(id, algorithm).await? };
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            self.drop_upload(id).await?;
            return Err(UploadError::Digest { expected: expected.clone(), found });
        }
        let (upload, blob) = (keys::upload(id.as_str()), keys::blob(&found));
        // Before the bytes have their name: whoever removes blobs that nobody has sees them had (`collect`).
        self.hold(repository, &found).await?;
        if self.storage.finish_upload(&upload, size, &blob).await? == Outcome::Refused {
            return Err(UploadError::Unknown);
        }
        self.known.note(&found);
        self.drop_session(id).await?;
        Ok((found, size))
    }

    /// The running hash of a session. An invented name leaves nothing in memory.
    async fn hash_of(
        &self,
        repository: &RepositoryName,
        principal: &str,
        id: &UploadId,
    ) -> Result<Arc<AsyncMutex<Hasher>>, UploadError> {
        let may_continue = self.may_continue(repository, principal, id).await?;
        if may_continue { Ok(self.hashes.of(id)) } else { Err(UploadError::Unknown) }
    }

    /// How many bytes a session has whose hash is held; one that ended meanwhile leaves nothing in memory.
    async fn offset_or_forget(
        &self,
        repository: &RepositoryName,
        principal: &str,
        id: &UploadId,
    ) -> Result<u64, UploadError> {
        let offset = self.upload_offset(repository, principal, id).await;
        if matches!(offset, Err(UploadError::Unknown)) {
            self.hashes.forget(id);
        }
        offset
    }

    async fn staged_digest(&self, id: &UploadId, algorithm: Algorithm) -> Result<Digest, UploadError> {
        let content = self.storage.open_upload(&keys::upload(id.as_str())).await?;
        let mut stream = content.ok_or(UploadError::Unknown)?.stream;
        let mut hasher = Hasher::of(algorithm);
        while let Some(piece) = stream.try_next().await? {
            hashed(&mut hasher, piece, true).await?;
        }
        Ok(hasher.finish())
    }

    /// Ends a session and drops its bytes.
    pub async fn cancel_upload(
        &self,
        repository: &RepositoryName,
        principal: &str,
        id: &UploadId,
    ) -> Result<(), UploadError> {
        if !self.may_continue(repository, principal, id).await? {
            return Err(UploadError::Unknown);
        }
        self.drop_upload(id).await.map_err(UploadError::from)
    }

    pub(super) async fn drop_upload(&self, id: &UploadId) -> Result<(), StorageError> {
        let _gone_already = self.storage.delete_upload(&keys::upload(id.as_str())).await?;
        self.drop_session(id).await
    }

    /// Forgets a session whose bytes are gone.
    async fn drop_session(&self, id: &UploadId) -> Result<(), StorageError> {
        self.hashes.forget(id);
        self.callers.ended(id);
        let _gone_already = self.storage.delete(&keys::session(id.as_str()), Condition::Always).await?;
        Ok(())
    }
}

/// Hashes a piece where it does not hold up others. Bytes that do not follow what was hashed make the hash useless.
pub(super) async fn hashed(hasher: &mut Hasher, piece: Bytes, follows: bool) -> Result<(), std::io::Error> {
    let mut running = std::mem::take(hasher);
    if follows {
        let work = move || {
            running.update(&piece);
            running
        };
        *hasher = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?;
    }
    Ok(())
}
