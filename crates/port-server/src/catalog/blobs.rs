//! Blobs: stored once, had by repositories.

use bytes::Bytes;
use port_model::Digest;

use super::{Catalog, keys};
use crate::name::RepositoryName;
use crate::storage::{
    ByteRange, ChildKind, Condition, Content, Key, Outcome, StorageError, StorageErrorKind,
};

/// How many children of one prefix are looked at to find a repository that has a blob.
const MOST_HOLDERS: usize = 100_000;
/// How many prefixes are looked into for the same.
const MOST_PREFIXES: usize = 1000;
/// How many of the trash are looked at to find a blob there: as often as it can be taken away at the same time.
const MOST_TRASHED: usize = 100;

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
        // NOTE: the holder first, the bytes second: who removes blobs looks for holders after it took the bytes away.
        match self.storage.size(&keys::blob(digest)).await? {
            Some(size) => Ok(Some(size)),
            None => self.rescue(digest).await,
        }
    }

    /// Takes a blob back that somebody is about to remove.
    async fn rescue(&self, digest: &Digest) -> Result<Option<u64>, StorageError> {
        let (trash, place) = (keys::trash(digest.algorithm()), keys::blob(digest));
        // Names are listed behind another one: what begins like the digest, and little else.
        let before = digest.hex().split_at_checked(digest.hex().len().saturating_sub(1));
        let before = before.map(|(before, _)| before);
        for child in self.storage.list(&trash, before, MOST_TRASHED).await? {
            let trashed = keys::below(&trash, &child.name);
            let is_it = keys::of_trashed(digest.algorithm(), &child.name).as_ref() == Some(digest);
            if let Some(trashed) = trashed.filter(|_| is_it)
                && self.storage.copy(&trashed, &place).await?
            {
                break;
            }
        }
        // Where it was in none of them, somebody may have put it back meanwhile.
        self.storage.size(&place).await
    }

    /// Puts a blob that somebody has back to its place. First the place, then where it was: it is always in one of them.
    ///
    /// # Errors
    /// Where it is in neither, or the storage fails otherwise.
    pub(super) async fn put_back(&self, digest: &Digest, from: &Key) -> Result<(), StorageError> {
        let place = keys::blob(digest);
        if !self.storage.copy(from, &place).await? && self.storage.size(&place).await?.is_none() {
            return Err(StorageError {
                kind: StorageErrorKind::Failed,
                storage: self.storage.describe(),
                operation: "put back",
                key: place.to_string(),
                source: format!(
                    "a repository has the blob, and `{from}`, where it was taken to, is gone as well"
                )
                .into(),
            });
        }
        let _gone_already = self.storage.delete(from, Condition::Always).await?;
        Ok(())
    }

    /// Reads a blob whose size was asked for before.
    pub async fn open_blob(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Option<Content>, StorageError> {
        let content = self.storage.open(&keys::blob(digest), range).await?;
        Ok(match range {
            // A part cannot be checked here; its reader puts the parts together and has the digest.
            Some(_) => content,
            None => content.map(|content| self.checked(digest, content)),
        })
    }

    /// Reads a small blob that the repository has.
    pub async fn read_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<Bytes>, StorageError> {
        if self.blob_size(repository, digest).await?.is_none() {
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
        self.hold(repository, digest).await?;
        let written = self.storage.put(&keys::blob(digest), bytes, Condition::Absent).await?;
        if written == Outcome::Done {
            self.known.note(digest);
        }
        Ok(())
    }

    /// Notes that a repository has a blob whose bytes are known to be right. Before they get their name: see `collect`.
    pub(super) async fn hold(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let key = keys::holder(digest, repository);
        let held = self.storage.put(&key, Bytes::new(), Condition::Absent).await?;
        if held == Outcome::Refused && !self.renew_holder(&key).await? {
            // It was swept between the two looks.
            let _held = self.storage.put(&key, Bytes::new(), Condition::Always).await?;
        }
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
        Ok(self.blob_size(repository, digest).await?.is_some())
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
        let mut walk = HolderWalk::new(self, digest);
        for _ in 0..MOST_PREFIXES {
            match walk.step().await? {
                Step::Found(found) if readable(&found) => return Ok(Some(found)),
                Step::End => break,
                _ => {}
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

/// The repositories that have a blob, one after the other.
pub(super) struct HolderWalk<'a> {
    catalog: &'a Catalog,
    /// What is not looked into yet, with the part of a repository's name that leads there.
    prefixes: Vec<(Key, String)>,
}

/// One step of a walk.
pub(super) enum Step {
    Found(RepositoryName),
    /// Nothing here; there is more.
    Nothing,
    End,
}

impl<'a> HolderWalk<'a> {
    pub(super) fn new(catalog: &'a Catalog, digest: &Digest) -> Self {
        Self { catalog, prefixes: vec![(keys::holders(digest), String::new())] }
    }

    pub(super) async fn step(&mut self) -> Result<Step, StorageError> {
        let Some((prefix, name)) = self.prefixes.pop() else { return Ok(Step::End) };
        let mut found = Step::Nothing;
        for child in self.catalog.storage.list(&prefix, None, MOST_HOLDERS).await? {
            if child.kind == ChildKind::Object && child.name == keys::HELD {
                if let Ok(repository) = name.parse::<RepositoryName>() {
                    found = Step::Found(repository);
                }
            } else if let Some(key) = keys::below(&prefix, &child.name) {
                let name = if name.is_empty() { child.name } else { format!("{name}/{}", child.name) };
                self.prefixes.push((key, name));
            }
        }
        Ok(found)
    }

    /// The next repository.
    pub(super) async fn next(&mut self) -> Result<Option<RepositoryName>, StorageError> {
        loop {
            match self.step().await? {
                Step::Found(repository) => return Ok(Some(repository)),
                Step::Nothing => {}
                Step::End => return Ok(None),
            }
        }
    }
}
