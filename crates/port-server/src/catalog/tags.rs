//! Tags: small documents, each of which moves on its own.

use bytes::Bytes;
use port_content::limit;
use port_model::Digest;
use serde::{Deserialize, Serialize};

use super::manifests::Expected;
use super::{Catalog, keys};
use crate::name::{RepositoryName, Tag};
use crate::storage::{ChildKind, Condition, Outcome, StorageError};

/// How many repositories and prefixes are listed of one prefix.
const MOST_REPOSITORIES: usize = 100_000;

/// What a tag means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagTarget {
    /// Which manifest.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Catalog {
    /// What a tag means.
    pub async fn tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<TagTarget>, StorageError> {
        let found = self.storage.read(&keys::tag(repository, tag), limit::RECORD).await?;
        Ok(found.and_then(|document| serde_json::from_slice(&document.bytes).ok()))
    }

    /// Moves a tag.
    pub(super) async fn put_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        target: &TagTarget,
        expected: &Expected,
    ) -> Result<Outcome, StorageError> {
        let key = keys::tag(repository, tag);
        let condition = match expected {
            Expected::Anything => Condition::Always,
            Expected::Nothing => Condition::Absent,
            Expected::Manifest(digest) => {
                let Some(document) = self.storage.read(&key, limit::RECORD).await? else {
                    return Ok(Outcome::Refused);
                };
                let current: Option<TagTarget> = serde_json::from_slice(&document.bytes).ok();
                if current.is_none_or(|current| current.digest != *digest) {
                    return Ok(Outcome::Refused);
                }
                Condition::Version(document.version)
            }
        };
        // A digest, a media type and a number always have a JSON form.
        let text = serde_json::to_vec(target).unwrap_or_default();
        self.storage.put(&key, Bytes::from(text), condition).await
    }

    /// Removes a tag; false where there is none.
    pub async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, StorageError> {
        let outcome = self.storage.delete(&keys::tag(repository, tag), Condition::Always).await?;
        Ok(outcome == Outcome::Done)
    }

    /// The tags of a repository by name, behind `after`.
    pub async fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Tag>, StorageError> {
        let children = self.storage.list(&keys::tags(repository), after, limit).await?;
        Ok(children.iter().filter_map(|child| child.name.parse().ok()).collect())
    }

    /// Whether anything is in a repository but blobs.
    pub async fn exists(&self, repository: &RepositoryName) -> Result<bool, StorageError> {
        let prefix = keys::repository(repository);
        let children = self.storage.list(&prefix, None, MOST_REPOSITORIES).await?;
        Ok(children.iter().any(|child| child.name.starts_with('_')))
    }

    /// Every repository that has a manifest or a tag, by name.
    pub async fn repositories(&self) -> Result<Vec<RepositoryName>, StorageError> {
        let mut found = Vec::new();
        let mut prefixes = vec![(keys::repositories(), String::new())];
        while let Some((prefix, name)) = prefixes.pop() {
            let mut has_content = false;
            for child in self.storage.list(&prefix, None, MOST_REPOSITORIES).await? {
                if child.name.starts_with('_') {
                    has_content |= matches!(child.name.as_str(), "_manifests" | "_tags");
                } else if let (ChildKind::Prefix, Some(key)) = (child.kind, keys::below(&prefix, &child.name))
                {
                    let name = if name.is_empty() { child.name } else { format!("{name}/{}", child.name) };
                    prefixes.push((key, name));
                }
            }
            found.extend(has_content.then(|| name.parse().ok()).flatten());
        }
        found.sort();
        Ok(found)
    }
}
