//! Blobs whose bytes rotted: found by reading them again, put aside, and never served from then on.
//!
//! A blob in quarantine is not at its place, so to every client it is not there: a push brings it anew. What was put aside is kept
//! for the operator. Only bytes that were read and are wrong are put aside; what cannot be read now may be readable later.

use futures_util::TryStreamExt as _;
use port_content::hashing::Hasher;
use port_model::Digest;

use super::blobs::HolderWalk;
use super::collect::{ALGORITHMS, Pages};
use super::uploads::hashed;
use super::{Catalog, keys};
use crate::name::RepositoryName;
use crate::storage::{Key, StorageError, StorageErrorKind};

/// What reading a blob again found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is not there.
    Absent,
    /// Its bytes are its own: so many.
    Sound(u64),
    /// They were not, and were put aside.
    Quarantined {
        /// Who has it, and cannot pull it any more.
        repositories: Vec<RepositoryName>,
    },
}

impl Catalog {
    /// Reads a blob again, and puts it aside where its bytes are wrong.
    ///
    /// # Errors
    /// Where it cannot be read, or the storage fails otherwise. It is where it was.
    pub async fn verify_blob(&self, digest: &Digest) -> Result<Verdict, StorageError> {
        let place = keys::blob(digest);
        let Some((found, size)) = self.digest_at(&place, digest).await? else {
            return self.verify_aside(digest).await;
        };
        if found == *digest {
            return Ok(Verdict::Sound(size));
        }
        self.known.forget(digest);
        let aside = keys::quarantined(digest);
        if !self.storage.relocate(&place, &aside).await? {
            return Ok(Verdict::Absent);
        }
        // What was taken is looked at as well: somebody may have pushed the blob anew in the moment before.
        if let Some((found, size)) = self.digest_at(&aside, digest).await?
            && found == *digest
        {
            self.put_back(digest, &aside).await?;
            return Ok(Verdict::Sound(size));
        }
        let mut repositories = Vec::new();
        let mut walk = HolderWalk::new(self, digest);
        while let Some(repository) = walk.next().await? {
            repositories.push(repository);
        }
        Ok(Verdict::Quarantined { repositories })
    }

    /// Puts bytes back that were put aside and are right: a kill came between the one and the other.
    async fn verify_aside(&self, digest: &Digest) -> Result<Verdict, StorageError> {
        let aside = keys::quarantined(digest);
        let Some((_, size)) = self.digest_at(&aside, digest).await?.filter(|(found, _)| found == digest)
        else {
            return Ok(Verdict::Absent);
        };
        if HolderWalk::new(self, digest).next().await?.is_none() {
            return Ok(Verdict::Absent);
        }
        self.put_back(digest, &aside).await?;
        Ok(Verdict::Sound(size))
    }

    /// Every blob that is stored, and of those in quarantine the ones that are nowhere else.
    pub async fn blob_digests(&self) -> Result<Vec<Digest>, StorageError> {
        let mut all = Vec::new();
        for algorithm in ALGORITHMS {
            let mut shards = Pages::new(self, keys::blobs(algorithm));
            while let Some(page) = shards.next().await? {
                for shard in page {
                    let Some(prefix) = keys::below(&keys::blobs(algorithm), &shard.name) else { continue };
                    let mut pages = Pages::new(self, prefix);
                    while let Some(digests) = pages.digests(algorithm).await? {
                        all.extend(digests);
                    }
                }
            }
            let mut quarantined = Pages::new(self, keys::quarantine(algorithm));
            while let Some(digests) = quarantined.digests(algorithm).await? {
                for digest in digests {
                    let is_elsewhere = self.storage.size(&keys::blob(&digest)).await?.is_some();
                    all.extend((!is_elsewhere).then_some(digest));
                }
            }
        }
        Ok(all)
    }

    async fn digest_at(&self, key: &Key, like: &Digest) -> Result<Option<(Digest, u64)>, StorageError> {
        let Some(content) = self.storage.open(key, None).await? else { return Ok(None) };
        let failed = |error: std::io::Error| StorageError {
            kind: StorageErrorKind::Failed,
            storage: self.storage.describe(),
            operation: "read",
            key: key.to_string(),
            source: Box::new(error),
        };
        let mut hasher = Hasher::of(like.algorithm());
        let mut stream = content.stream;
        while let Some(piece) = stream.try_next().await.map_err(failed)? {
            hashed(&mut hasher, piece, true).await.map_err(failed)?;
        }
        Ok(Some((hasher.finish(), content.size)))
    }
}
