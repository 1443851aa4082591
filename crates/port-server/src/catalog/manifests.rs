//! Manifests and indexes: kept as they came, found by digest or through a tag.
//!
//! The stored object is one line of JSON about the manifest and then its bytes, so that one read gives both.

use bytes::Bytes;
use port_content::hashing::Hasher;
use port_content::limit;
use port_model::Digest;
use port_model::digest::Algorithm;
use serde::{Deserialize, Serialize};

use super::document::{Draft, DraftError};
use super::{Catalog, TagTarget, keys};
use crate::name::{RepositoryName, Tag, TagOrDigest};
use crate::storage::{Condition, Outcome, StorageError};

/// The most tags that are taken away with the manifest that they mean.
const MOST_TAGS: usize = 10_000;

/// A manifest as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}

/// The line in front of the bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heading {
    version: u32,
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Digest>,
}

const HEADING_VERSION: u32 = 1;
/// Longest heading, in bytes.
const LONGEST_HEADING: u64 = 4096;

/// What is to be put.
#[derive(Debug)]
pub struct PutManifest {
    /// What it is, as the request says.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its digest, where the request names one.
    pub digest: Option<Digest>,
    /// The tags that shall mean it.
    pub tags: Vec<Tag>,
    /// What the tags must mean before.
    pub expected: Expected,
}

/// What a tag must mean before it moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it means.
    Anything,
    /// Nothing: it is new.
    Nothing,
    /// This manifest.
    Manifest(Digest),
}

/// Whether a manifest may name blobs that the repository does not have. An index may always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sparse {
    /// It may not: whoever pulls it gets all of it.
    #[default]
    Refused,
    /// It may: they come later, or from elsewhere.
    Accepted,
}

/// Why a manifest was not put.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no document that is kept here.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// Its bytes have another digest.
    #[error("the manifest's digest is {found}: the request names {expected}")]
    Digest {
        /// The one in the request.
        expected: Digest,
        /// That of the bytes.
        found: Digest,
    },
    /// It names a blob that the repository does not have.
    #[error("the repository `{repository}` has no blob {digest}, which the manifest names")]
    BlobUnknown {
        /// Which repository.
        repository: RepositoryName,
        /// Which blob.
        digest: Digest,
    },
    /// A tag means something else than the request expects.
    #[error("the tag `{tag}` means something else by now")]
    Moved {
        /// Which tag.
        tag: Tag,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Catalog {
    /// Finds a manifest. A tag whose manifest was deleted is no tag.
    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        name: &TagOrDigest,
    ) -> Result<Option<StoredManifest>, StorageError> {
        let digest = match name {
            TagOrDigest::Digest(digest) => digest.clone(),
            TagOrDigest::Tag(tag) => match self.tag(repository, tag).await? {
                Some(target) => target.digest,
                None => return Ok(None),
            },
        };
        let key = keys::manifest(repository, &digest);
        let Some(document) = self.storage.read(&key, limit::DOCUMENT + LONGEST_HEADING).await? else {
            return Ok(None);
        };
        Ok(split(&document.bytes).map(|(heading, bytes)| StoredManifest {
            media_type: heading.media_type,
            digest,
            bytes,
        }))
    }

    /// Keeps a manifest and moves its tags to it.
    ///
    /// # Errors
    /// [`ManifestError`]; whatever it is, no tag has moved, or one that was named before the one that had.
    pub async fn put_manifest(
        &self,
        repository: &RepositoryName,
        put: PutManifest,
    ) -> Result<(Digest, Draft), ManifestError> {
        let digest = checked_digest(&put)?;
        let draft = Draft::read(&put.bytes, &put.media_type)?;
        for blob in draft.blobs().filter(|_| self.sparse == Sparse::Refused) {
            if self.blob_size(repository, blob).await?.is_none() {
                let (repository, digest) = (repository.clone(), blob.clone());
                return Err(ManifestError::BlobUnknown { repository, digest });
            }
        }
        let subject = draft.subject.as_ref().map(|subject| subject.digest.clone());
        let size = put.bytes.len() as u64;
        if let Some(subject) = &subject {
            // CRASH: before the manifest, so that no manifest is missing from the list; readers skip what is not there.
            let entry = draft.referrer(&put.media_type, &digest, size);
            self.put_referrer(repository, subject, &entry).await?;
        }
        let heading = Heading { version: HEADING_VERSION, media_type: put.media_type.clone(), subject };
        let object = joined(&heading, &put.bytes)?;
        let key = keys::manifest(repository, &digest);
        let _written = self.storage.put(&key, object, Condition::Always).await?;
        let target = TagTarget { digest: digest.clone(), media_type: put.media_type, size };
        for tag in &put.tags {
            if self.put_tag(repository, tag, &target, &put.expected).await? == Outcome::Refused {
                return Err(ManifestError::Moved { tag: tag.clone() });
            }
        }
        Ok((digest, draft))
    }

    /// Removes a manifest and the tags that mean it, which it gives; nothing where there is no such manifest.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Vec<Tag>>, StorageError> {
        let key = keys::manifest(repository, digest);
        let Some(document) = self.storage.read(&key, limit::DOCUMENT + LONGEST_HEADING).await? else {
            return Ok(None);
        };
        let outcome = self.storage.delete(&key, Condition::Always).await?;
        if let Some(subject) = split(&document.bytes).and_then(|(heading, _)| heading.subject) {
            let entry = keys::referrer(repository, &subject, digest);
            let _gone_already = self.storage.delete(&entry, Condition::Always).await?;
        }
        let mut removed = Vec::new();
        for tag in self.tags(repository, None, MOST_TAGS).await? {
            if self.tag(repository, &tag).await?.is_some_and(|target| target.digest == *digest) {
                self.delete_tag(repository, &tag).await?;
                removed.push(tag);
            }
        }
        Ok((outcome == Outcome::Done).then_some(removed))
    }
}

fn checked_digest(put: &PutManifest) -> Result<Digest, ManifestError> {
    let algorithm = put.digest.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
    let mut hasher = Hasher::of(algorithm);
    hasher.update(&put.bytes);
    let found = hasher.finish();
    match &put.digest {
        Some(expected) if *expected != found => {
            Err(ManifestError::Digest { expected: expected.clone(), found })
        }
        _ => Ok(found),
    }
}

fn joined(heading: &Heading, bytes: &[u8]) -> Result<Bytes, DraftError> {
    let mut object = serde_json::to_vec(heading)?;
    object.push(b'\n');
    object.extend_from_slice(bytes);
    Ok(object.into())
}

fn split(object: &Bytes) -> Option<(Heading, Bytes)> {
    let end = object.iter().position(|byte| *byte == b'\n')?;
    let heading: Heading = serde_json::from_slice(object.get(..end)?).ok()?;
    Some((heading, object.slice(end + 1..)))
}
