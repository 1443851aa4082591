//! One side of a copy: a repository of a registry, or an image layout. Reading is checked here, for both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use port_content::hashing::digest_of;
use port_layout::{Blob, Descriptor};
use port_model::Digest;
use port_registry::{
    BlobSource, BlobUpload, Client, Condition, Kind, Repository, Resolved, Tag, TagOrDigest,
};

use crate::copy::layout::Layout;
use crate::copy::{CopyError, Node, Outcome, Place};

/// What cosign's tags of a manifest end with: `sha256-<hex>.sig` and so on.
const ATTACHED: [&str; 3] = ["sig", "att", "sbom"];

/// What belongs to a manifest without being listed in it.
pub(crate) struct Belongings {
    pub(crate) subject: Digest,
    /// What refers to it.
    pub(crate) referrers: Vec<Descriptor>,
    /// What cosign attached to it, with the tags.
    pub(crate) attachments: Vec<(String, Descriptor)>,
}

/// See the module.
pub(crate) enum Side {
    Registry(Repository),
    Layout { layout: Arc<Layout>, referrers: BTreeMap<Digest, Vec<Descriptor>> },
}

impl Side {
    /// The side that is read.
    pub(crate) fn source(client: &Client, place: &Place) -> Result<Self, CopyError> {
        match place {
            Place::Registry { registry, repository, .. } => {
                Ok(Self::Registry(client.repository(registry, repository)?))
            }
            Place::Layout { directory, .. } => Self::layout(directory),
        }
    }

    /// An image layout that is read.
    pub(crate) fn layout(directory: &Path) -> Result<Self, CopyError> {
        let layout = Layout::open(directory)?;
        let referrers = layout.referrers()?;
        Ok(Self::Layout { layout: Arc::new(layout), referrers })
    }

    /// The side that is written.
    pub(crate) fn destination(client: &Client, place: &Place) -> Result<Self, CopyError> {
        match place {
            Place::Registry { .. } => Self::source(client, place),
            Place::Layout { directory, .. } => {
                let layout = Arc::new(Layout::open_or_create(directory)?);
                Ok(Self::Layout { layout, referrers: BTreeMap::new() })
            }
        }
    }

    /// What the place names now. A digest decides, where there is one.
    pub(crate) async fn resolve(&self, place: &Place) -> Result<Descriptor, CopyError> {
        let absent = || CopyError::NotFound {
            name: place
                .digest()
                .map_or_else(|| place.name().unwrap_or_default().to_owned(), Digest::to_string),
            place: self.to_string(),
        };
        match self {
            Self::Registry(repository) => {
                let name = match (place.digest(), place.name().map(str::parse::<Tag>)) {
                    (Some(digest), _) => TagOrDigest::Digest(digest.clone()),
                    (None, Some(Ok(tag))) => TagOrDigest::Tag(tag),
                    (None, _) => return Err(absent()),
                };
                let found = repository.resolve(&name).await?;
                Ok(Descriptor::new(&found.media_type, found.digest, found.size))
            }
            Self::Layout { layout, .. } => {
                let found = match (place.digest(), place.name()) {
                    (Some(digest), _) => layout.find_digest(digest)?,
                    (None, Some(name)) => layout.find(name)?,
                    (None, None) => None,
                };
                found.ok_or_else(absent)
            }
        }
    }

    /// A manifest or index that has this digest, size and media type.
    pub(crate) async fn document(&self, descriptor: &Descriptor) -> Result<Bytes, CopyError> {
        let repository = match self {
            Self::Layout { layout, .. } => return Ok(layout.document(descriptor)?.into()),
            Self::Registry(repository) => repository,
        };
        let found = repository.manifest(&TagOrDigest::Digest(descriptor.digest.clone())).await?;
        let size = found.bytes.len() as u64;
        let reason = match () {
            () if size != descriptor.size => format!("is {size} bytes, described as {}", descriptor.size),
            () if found.media_type != descriptor.media_type => {
                format!("is `{}`, described as `{}`", found.media_type, descriptor.media_type)
            }
            () => return Ok(found.bytes),
        };
        let reason = format!("{} {reason}", descriptor.digest);
        Err(CopyError::Refused { place: self.to_string(), reason })
    }

    /// What refers to a manifest.
    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, CopyError> {
        match self {
            Self::Layout { referrers, .. } => Ok(referrers.get(subject).cloned().unwrap_or_default()),
            Self::Registry(repository) => {
                let found = repository.referrers(subject, None).await?;
                Ok(found.into_iter().map(from_registry).collect())
            }
        }
    }

    /// What belongs to a manifest.
    pub(crate) async fn belongings(&self, subject: Digest) -> Result<Belongings, CopyError> {
        let referrers = self.referrers(&subject).await?;
        let tags = ATTACHED.map(|kind| format!("{}-{}.{kind}", subject.algorithm().as_str(), subject.hex()));
        let found = try_join_all(tags.iter().map(|tag| self.find(tag))).await?;
        let attachments = tags.iter().cloned().zip(found);
        let attachments = attachments.filter_map(|(tag, found)| Some((tag, found?))).collect();
        Ok(Belongings { subject, referrers, attachments })
    }

    /// A small blob of at most `limit` bytes, checked.
    pub(crate) async fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, CopyError> {
        match self {
            Self::Registry(repository) => {
                Ok(repository.blob_to_memory(&descriptor.digest, descriptor.size, limit).await?)
            }
            Self::Layout { layout, .. } => Ok(layout.small_blob(descriptor, limit)?.into()),
        }
    }

    /// Puts a small blob there; returns what it is now named.
    pub(crate) async fn put_small_blob(&self, bytes: &Bytes) -> Result<Blob, CopyError> {
        let blob = Blob { digest: digest_of(bytes), size: bytes.len() as u64 };
        match self {
            Self::Registry(repository) => {
                let source = BlobSource::Bytes(bytes.clone());
                let (digest, size) = (blob.digest.clone(), blob.size);
                repository.push_blob(&BlobUpload { digest, size, source, mount_from: None }).await?;
            }
            Self::Layout { layout, .. } => layout.add_bytes(&blob.digest, bytes)?,
        }
        Ok(blob)
    }

    /// Whether these bytes are there.
    pub(crate) async fn has_small_blob(&self, bytes: &Bytes) -> Result<bool, CopyError> {
        match self {
            Self::Registry(repository) => Ok(repository.has_blob(&digest_of(bytes)).await?),
            Self::Layout { layout, .. } => {
                layout.has(&Descriptor::new("", digest_of(bytes), bytes.len() as u64))
            }
        }
    }

    /// What a tag or name is, if it is there.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Descriptor>, CopyError> {
        let repository = match self {
            Self::Layout { layout, .. } => return layout.find(name),
            Self::Registry(repository) => repository,
        };
        // Too long for a tag: nobody can have put anything there.
        let Ok(tag) = name.parse() else { return Ok(None) };
        let found = there(repository, &TagOrDigest::Tag(tag)).await?;
        Ok(found.map(|found| Descriptor::new(&found.media_type, found.digest, found.size)))
    }

    /// Lists, in a layout, what refers to each of these manifests in the form that other tools read too. Registries list
    /// what is written.
    pub(crate) fn list_referrers(&self, subjects: &BTreeSet<Digest>) -> Result<(), CopyError> {
        match self {
            Self::Registry(_) => Ok(()),
            Self::Layout { layout, .. } => layout.list_referrers(subjects),
        }
    }

    /// Whether an error says that a thing is not there.
    pub(crate) fn is_absent(&self, error: &CopyError) -> bool {
        match error {
            CopyError::NotFound { .. } => true,
            CopyError::Registry(error) => error.kind() == Kind::NotFound,
            _ => false,
        }
    }

    /// Writes a document by its digest, where it is not there, and lists it below what it refers to.
    pub(crate) async fn put(&self, node: &Node) -> Result<Outcome, CopyError> {
        match self {
            Self::Registry(repository) => put_into_registry(repository, node).await,
            Self::Layout { layout, .. } => {
                let found = layout.has(&node.descriptor)?;
                if !found {
                    layout.add_bytes(&node.descriptor.digest, &node.bytes)?;
                }
                if node.subject.is_some() {
                    layout.put(node.listed.clone(), None)?;
                }
                Ok(if found { Outcome::Found } else { Outcome::Copied })
            }
        }
    }

    /// Gives a document that is there a tag or name; returns what had it before, if that was another.
    pub(crate) async fn tag(&self, node: &Node, name: &str) -> Result<Option<Digest>, CopyError> {
        let digest = &node.descriptor.digest;
        let repository = match self {
            Self::Layout { layout, .. } => {
                let before = layout.put(node.descriptor.clone(), Some(name))?;
                return Ok(before.filter(|before| before != digest));
            }
            Self::Registry(repository) => repository,
        };
        let tag: Tag = name.parse().map_err(|error: port_model::ReferenceError| CopyError::Place {
            text: name.to_owned(),
            reason: error.to_string(),
        })?;
        let tag = TagOrDigest::Tag(tag);
        let before = there(repository, &tag).await?.map(|found| found.digest);
        if before.as_ref() == Some(digest) {
            return Ok(None);
        }
        repository.put_manifest(&tag, &node.descriptor.media_type, &node.bytes, Condition::None).await?;
        Ok(before)
    }
}

/// What a tag or digest is in a registry, if it is there.
async fn there(repository: &Repository, name: &TagOrDigest) -> Result<Option<Resolved>, CopyError> {
    match repository.resolve(name).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn put_into_registry(repository: &Repository, node: &Node) -> Result<Outcome, CopyError> {
    let digest = &node.descriptor.digest;
    let name = TagOrDigest::Digest(digest.clone());
    let found = there(repository, &name).await?.is_some();
    let Some(subject) = &node.subject else {
        if found {
            return Ok(Outcome::Found);
        }
        repository.put_manifest(&name, &node.descriptor.media_type, &node.bytes, Condition::None).await?;
        return Ok(Outcome::Copied);
    };
    // One that is there and not listed was pushed by a tool that was killed, or knows nothing of listing.
    let listed =
        found && repository.referrers(subject, None).await?.iter().any(|known| &known.digest == digest);
    if listed {
        return Ok(Outcome::Found);
    }
    repository.put_referrer(subject, &to_registry(&node.listed), &node.bytes).await?;
    Ok(if found { Outcome::Found } else { Outcome::Copied })
}

pub(crate) fn from_registry(descriptor: port_registry::Descriptor) -> Descriptor {
    Descriptor {
        artifact_type: descriptor.artifact_type,
        annotations: descriptor.annotations.unwrap_or_default(),
        ..Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size)
    }
}

pub(crate) fn to_registry(descriptor: &Descriptor) -> port_registry::Descriptor {
    port_registry::Descriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        artifact_type: descriptor.artifact_type.clone(),
        annotations: Some(descriptor.annotations.clone()).filter(|annotations| !annotations.is_empty()),
        rest: serde_json::Map::new(),
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(repository) => write!(f, "{}/{}", repository.registry(), repository.name()),
            Self::Layout { layout, .. } => write!(f, "oci:{}", layout.root().display()),
        }
    }
}
