//! What tags lead to, in each repository: the manifests that they mean, what those name, and what refers to those.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use port_model::Digest;
use serde_json::Value;

use super::{ALGORITHMS, Collection, PAGE, Pages, Sweep};
use crate::catalog::keys;
use crate::catalog::manifests::Heading;
use crate::name::{RepositoryName, Tag};
use crate::storage::{Condition, Outcome, StorageError};

/// What is kept in mind of a manifest.
struct Seen {
    is_condemned: bool,
    /// As what it may be swept.
    ripe: Option<Condition>,
    subject: Option<Digest>,
    named: HashSet<Digest>,
}

impl Collection<'_> {
    /// Condemns, renews or removes every manifest, and notes what those that are there name.
    pub(super) async fn manifests(&mut self) -> Result<(), StorageError> {
        for repository in self.catalog.repositories().await? {
            self.round.stock.repositories += 1;
            // NOTE: manifests before tags: what is ripe was condemned before the tags are read.
            let seen = self.seen(&repository).await?;
            self.round.stock.manifests += seen.len() as u64;
            let needed = self.needed(&repository, &seen).await?;
            for (digest, manifest) in &seen {
                self.decide(&repository, digest, manifest, needed.contains(digest)).await?;
            }
            let named = seen.into_values().flat_map(|manifest| manifest.named).collect();
            self.named.insert(repository, named);
        }
        Ok(())
    }

    /// The manifests that are there.
    async fn seen(&mut self, repository: &RepositoryName) -> Result<HashMap<Digest, Seen>, StorageError> {
        let mut all = HashMap::new();
        for algorithm in ALGORITHMS {
            let mut pages = Pages::new(self.catalog, keys::manifests(repository, algorithm));
            while let Some(digests) = pages.digests(algorithm).await? {
                for digest in digests {
                    match self.catalog.read_manifest(repository, &digest).await? {
                        Some((heading, bytes, condition)) => {
                            let seen = self.see(repository, &digest, heading, &bytes, condition);
                            all.insert(digest, seen);
                        }
                        // Gone meanwhile, or damaged: what a damaged one names is not known.
                        None => {
                            let key = keys::manifest(repository, &digest);
                            if self.catalog.storage.size(&key).await?.is_some() {
                                self.unreadable(repository, &digest);
                            }
                        }
                    }
                }
            }
        }
        Ok(all)
    }

    fn unreadable(&mut self, repository: &RepositoryName, digest: &Digest) {
        self.untouchable.insert(repository.clone());
        self.round.unreadable.push(format!("{repository}@{digest}"));
    }

    fn see(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
        heading: Heading,
        bytes: &Bytes,
        condition: Condition,
    ) -> Seen {
        let mut named = HashSet::new();
        match serde_json::from_slice::<Value>(bytes) {
            Ok(document) => digests_in(&document, &mut named),
            Err(_) => self.unreadable(repository, digest),
        }
        let patience = self.patience.manifests.filter(|_| self.sweep == Sweep::Ripe);
        let mark = heading.mark.as_ref();
        // A mark of a clock that was ahead would never ripen, so it does not count.
        let mark = mark.filter(|mark| !mark.is_from_the_future(self.now));
        let is_ripe = mark.zip(patience).is_some_and(|(mark, patience)| mark.is_ripe(self.now, patience));
        Seen {
            is_condemned: mark.is_some(),
            ripe: is_ripe.then_some(condition),
            subject: heading.subject,
            named,
        }
    }

    /// The manifests that tags lead to.
    async fn needed(
        &self,
        repository: &RepositoryName,
        seen: &HashMap<Digest, Seen>,
    ) -> Result<HashSet<Digest>, StorageError> {
        let mut next = self.tagged(repository).await?;
        let mut referrers: HashMap<&Digest, Vec<&Digest>> = HashMap::new();
        for (digest, manifest) in seen {
            if let Some(subject) = &manifest.subject {
                referrers.entry(subject).or_default().push(digest);
            }
        }
        let mut needed = HashSet::new();
        while let Some(digest) = next.pop() {
            let Some(manifest) = seen.get(&digest) else { continue };
            next.extend(manifest.named.iter().filter(|named| !needed.contains(*named)).cloned());
            next.extend(referrers.remove(&digest).into_iter().flatten().cloned());
            needed.insert(digest);
        }
        Ok(needed)
    }

    async fn tagged(&self, repository: &RepositoryName) -> Result<Vec<Digest>, StorageError> {
        let mut digests = Vec::new();
        let mut after: Option<Tag> = None;
        loop {
            let last = after.as_ref().map(Tag::as_str);
            let page = self.catalog.tags(repository, last, PAGE).await?;
            for tag in &page {
                digests.extend(self.catalog.tag(repository, tag).await?.map(|target| target.digest));
            }
            if page.len() < PAGE {
                return Ok(digests);
            }
            after = page.last().cloned();
        }
    }

    async fn decide(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
        manifest: &Seen,
        is_needed: bool,
    ) -> Result<(), StorageError> {
        let is_kept = is_needed || self.patience.manifests.is_none() || self.untouchable.contains(repository);
        match (is_kept, manifest.is_condemned, &manifest.ripe) {
            (true, true, _) => self.mark(repository, digest, false).await,
            (false, false, _) => {
                self.round.manifests_condemned += 1;
                self.mark(repository, digest, true).await
            }
            (false, true, Some(condition)) => {
                let key = keys::manifest(repository, digest);
                // Its entry in a list of referrers stays: readers skip it, and who puts the manifest again relies on it.
                let swept = self.catalog.storage.delete(&key, condition.clone()).await?;
                self.round.manifests += u64::from(swept == Outcome::Done);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn mark(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        condemned: bool,
    ) -> Result<(), StorageError> {
        let found = self.catalog.read_manifest(repository, digest).await?;
        let Some((heading, bytes, condition)) = found else { return Ok(()) };
        let key = keys::manifest(repository, digest);
        let mark = if condemned { Some(self.catalog.mark(&key, self.now)?) } else { None };
        self.catalog.write_mark(repository, digest, &heading, mark, &bytes, condition).await
    }
}

/// Every text of a document that is a digest. Whatever may be a name counts as one: descriptors, annotations, fields nobody knows.
fn digests_in(value: &Value, found: &mut HashSet<Digest>) {
    match value {
        Value::String(text) => found.extend(text.parse::<Digest>()),
        Value::Array(values) => values.iter().for_each(|value| digests_in(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| digests_in(value, found)),
        _ => {}
    }
}
