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
use super::leases::Mark;
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
pub(super) struct Heading {
    version: u32,
    pub(super) media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Digest>,
    /// Since when nothing needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<Mark>,
}

const HEADING_VERSION: u32 = 1;
/// Longest heading, in bytes.
const LONGEST_HEADING: u64 = 4096;
/// The most manifests whose leases are renewed along with one.
const MOST_RENEWED: usize = 10_000;

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
        let Some((heading, bytes, condition)) = self.read_manifest(repository, &digest).await? else {
            return Ok(None);
        };
        if heading.mark.is_some() {
            self.write_mark(repository, &digest, &heading, None, &bytes, condition).await?;
        }
        Ok(Some(StoredManifest { media_type: heading.media_type, digest, bytes }))
    }

    /// A manifest with its heading, and the condition that it is still that.
    pub(super) async fn read_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<(Heading, Bytes, Condition)>, StorageError> {
        let key = keys::manifest(repository, digest);
        let found = self.storage.read(&key, limit::DOCUMENT + LONGEST_HEADING).await?;
        Ok(found.and_then(|document| {
            let (heading, bytes) = split(&document.bytes)?;
            Some((heading, bytes, Condition::Version(document.version)))
        }))
    }

    /// Condemns a manifest, or takes the mark off, if it still is what it was. Where it is not, somebody else decided.
    pub(super) async fn write_mark(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        heading: &Heading,
        mark: Option<Mark>,
        bytes: &[u8],
        condition: Condition,
    ) -> Result<(), StorageError> {
        let heading = Heading {
            version: heading.version,
            media_type: heading.media_type.clone(),
            subject: heading.subject.clone(),
            mark,
        };
        let Ok(object) = joined(&heading, bytes) else { return Ok(()) };
        let _others_decided =
            self.storage.put(&keys::manifest(repository, digest), object, condition).await?;
        Ok(())
    }

    /// Renews the leases of what a manifest brings along: what an index names, and what refers to it.
    async fn renew_around(&self, repository: &RepositoryName, root: &Digest) -> Result<(), StorageError> {
        let mut next = vec![root.clone()];
        let mut renewed = 0;
        while let Some(digest) = next.pop() {
            let Some((heading, bytes, condition)) = self.read_manifest(repository, &digest).await? else {
                continue;
            };
            if heading.mark.is_some() {
                self.write_mark(repository, &digest, &heading, None, &bytes, condition).await?;
            } else if digest != *root {
                // What is needed already brings its own along.
                continue;
            }
            renewed += 1;
            if renewed > MOST_RENEWED {
                break;
            }
            next.extend(children(&bytes));
            next.extend(self.referrers(repository, &digest).await?.into_iter().map(|entry| entry.digest));
        }
        Ok(())
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
        self.require_blobs(repository, &draft).await?;
        let subject = draft.subject.as_ref().map(|subject| subject.digest.clone());
        let size = put.bytes.len() as u64;
        if let Some(subject) = &subject {
            // CRASH: before the manifest, so that no manifest is missing from the list; readers skip what is not there.
            let entry = draft.referrer(&put.media_type, &digest, size);
            self.put_referrer(repository, subject, &entry).await?;
        }
        let heading =
            Heading { version: HEADING_VERSION, media_type: put.media_type.clone(), subject, mark: None };
        let object = joined(&heading, &put.bytes)?;
        let key = keys::manifest(repository, &digest);
        let _written = self.storage.put(&key, object.clone(), Condition::Always).await?;
        // NOTE: the second look. Collection that began before the manifest was there may have swept a blob since the first one;
        // collection that begins later sees the manifest. So after this no blob of it goes.
        self.require_blobs(repository, &draft).await?;
        self.renew_around(repository, &digest).await?;
        let target = TagTarget { digest: digest.clone(), media_type: put.media_type, size };
        for tag in &put.tags {
            if self.put_tag(repository, tag, &target, &put.expected).await? == Outcome::Refused {
                return Err(ManifestError::Moved { tag: tag.clone() });
            }
        }
        // The last look: collection that read the tags before they moved may have swept the manifest, if they took long to move.
        let found = self.read_manifest(repository, &digest).await?;
        if found.is_none_or(|(heading, _, _)| heading.mark.is_some()) {
            let _written = self.storage.put(&key, object, Condition::Always).await?;
            self.require_blobs(repository, &draft).await?;
        }
        Ok((digest, draft))
    }

    /// Looks for the blobs that must be there, and renews their leases.
    async fn require_blobs(&self, repository: &RepositoryName, draft: &Draft) -> Result<(), ManifestError> {
        for blob in draft.blobs().filter(|_| self.sparse == Sparse::Refused) {
            if self.blob_size(repository, blob).await?.is_none() {
                let (repository, digest) = (repository.clone(), blob.clone());
                return Err(ManifestError::BlobUnknown { repository, digest });
            }
        }
        Ok(())
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

/// The manifests that an index names.
fn children(bytes: &[u8]) -> Vec<Digest> {
    let index = serde_json::from_slice::<port_layout::Index>(bytes);
    index.map(|index| index.manifests.into_iter().map(|entry| entry.digest).collect()).unwrap_or_default()
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
