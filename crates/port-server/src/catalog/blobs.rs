//! Blobs: stored once, had by repositories.

use bytes::Bytes;
use port_model::Digest;

use super::{Catalog, keys};
use crate::name::RepositoryName;
use crate::storage::{ByteRange, ChildKind, Condition, Content, Key, Outcome, StorageError};

/// How many children of one prefix are looked at to find a repository that has a blob.
const MOST_HOLDERS: usize = 1000;
/// How many prefixes are looked into for the same.
const MOST_PREFIXES: usize = 1000;

impl Catalog {
    /// The size of a blob that the repository has.
    pub async fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, StorageError> {
        if !self.holds(repository, digest).await? {
            return Ok(None);
        }
        self.storage.size(&keys::blob(digest)).await
    }

    /// Reads a blob whose size was asked for before.
    pub async fn open_blob(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Option<Content>, StorageError> {
        self.storage.open(&keys::blob(digest), range).await
    }

    /// Reads a small blob that the repository has.
    pub async fn read_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<Bytes>, StorageError> {
        if !self.holds(repository, digest).await? {
            return Ok(None);
        }
        Ok(self.storage.read(&keys::blob(digest), limit).await?.map(|document| document.bytes))
    }

    /// Stores a small blob that this server made, or checked against its digest.
    pub async fn put_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        let _there_already = self.storage.put(&keys::blob(digest), bytes, Condition::Absent).await?;
        self.hold(repository, digest).await
    }

    /// Notes that a repository has a blob, whose bytes are stored.
    pub(super) async fn hold(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let key = keys::holder(digest, repository);
        let _held_already = self.storage.put(&key, Bytes::new(), Condition::Absent).await?;
        Ok(())
    }

    /// Gives a repository a blob that `from` has, without moving a byte; false where `from` has none.
    pub async fn mount(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Result<bool, StorageError> {
        if self.blob_size(from, digest).await?.is_none() {
            return Ok(false);
        }
        self.hold(repository, digest).await?;
        Ok(true)
    }

    /// Makes a blob that the repository has readable at another key as well.
    pub async fn copy_blob(&self, digest: &Digest, to: &Key) -> Result<bool, StorageError> {
        self.storage.copy(&keys::blob(digest), to).await
    }

    /// A repository that has the blob and that `readable` takes, however many have it.
    pub async fn find_holder(
        &self,
        digest: &Digest,
        readable: impl Fn(&RepositoryName) -> bool,
    ) -> Result<Option<RepositoryName>, StorageError> {
        let root = keys::holders(digest);
        let mut prefixes = vec![(root, String::new())];
        for _ in 0..MOST_PREFIXES {
            let Some((prefix, name)) = prefixes.pop() else { break };
            for child in self.storage.list(&prefix, None, MOST_HOLDERS).await? {
                if child.kind == ChildKind::Object && child.name == keys::HELD {
                    let Ok(found) = name.parse::<RepositoryName>() else { continue };
                    if readable(&found) {
                        return Ok(Some(found));
                    }
                } else if let Some(key) = keys::below(&prefix, &child.name) {
                    let name = if name.is_empty() { child.name } else { format!("{name}/{}", child.name) };
                    prefixes.push((key, name));
                }
            }
        }
        Ok(None)
    }

    /// Takes a blob away from a repository; false where it had none. The bytes stay until nobody has them.
    pub async fn delete_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let outcome = self.storage.delete(&keys::holder(digest, repository), Condition::Always).await?;
        Ok(outcome == Outcome::Done)
    }
}
