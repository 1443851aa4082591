//! update: releases of KubeSolo OS: how they are published, and what a machine fetches of them (acceptance O-1 … O-57).
//!
//! ```text
//! publish  kernel + initramfs ─► <version>-amd64      index  <version>-amd64 ┐
//!          kernel + initramfs ─► <version>-arm64             <version>-arm64 ┴─► <version> ─► <channel>
//! sign     <channel> or <version> ─► a numbered statement about it, signed
//! promote  <channel> ─► the same blobs ─► another <channel>, signed for it
//! check    <channel> or <version> ─► what it offers     fetch    the same ─► kernel, initramfs in a directory
//! ```
//!
//! Needs no project. Invariants: a published tag of a version keeps its content unless somebody says `overwrite`;
//! the channel moves last, so that machines never follow it to something unfinished.

pub mod agent;
mod check;
mod error;
mod fetch;
mod index;
mod promote;
mod publish;
mod sign;

pub use error::UpdateError;
pub use fetch::{CheckReport, FetchReport, FetchRequest, OfferedBlob, ReleaseFacts, check, fetch};
pub use index::{IndexReport, IndexRequest, IndexedPart, index};
pub use promote::{PromoteReport, PromoteRequest, SourceSigner, promote};
pub use publish::{PublishReport, PublishRequest, PublishedBlob, publish};
pub use sign::{SignReleaseReport, SignReleaseRequest, sign_release};

use std::str::FromStr;
use std::sync::Arc;

use port_model::{ReferenceError, Reporter};
use port_registry::credentials::{CredentialFiles, CredentialPaths};
use port_registry::{Client, Manifest, RegistryHost, Repository, RepositoryName, TagOrDigest};

use crate::login::RegistryAccess;

/// Where releases are: `HOST/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryPlace {
    /// The registry.
    pub registry: RegistryHost,
    /// The repository in it.
    pub repository: RepositoryName,
}

impl FromStr for RepositoryPlace {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (registry, repository) =
            text.split_once('/').ok_or_else(|| ReferenceError::NoRepository(text.to_owned()))?;
        Ok(Self { registry: registry.parse()?, repository: repository.parse()? })
    }
}

impl std::fmt::Display for RepositoryPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)
    }
}

/// What a release's registry is reached with.
pub struct Publisher {
    /// How the registry is reached.
    pub access: RegistryAccess,
    /// Where its credentials are.
    pub credential_paths: CredentialPaths,
    /// Who listens.
    pub reporter: Arc<dyn Reporter>,
}

impl Publisher {
    fn repository(&self, place: &RepositoryPlace) -> Result<Repository, UpdateError> {
        let credentials = Arc::new(CredentialFiles::new(self.credential_paths.clone()));
        let options = self.access.options([&place.registry]);
        let client = Client::new(options, credentials, Arc::clone(&self.reporter));
        Ok(client.repository(&place.registry, &place.repository)?)
    }
}

/// A tag; or a digest, where it has the form of one, which no tag has.
fn tag(text: &str) -> Result<TagOrDigest, UpdateError> {
    if let Ok(digest) = text.parse() {
        return Ok(TagOrDigest::Digest(digest));
    }
    Ok(TagOrDigest::Tag(text.parse()?))
}

/// What a name points to; `None` where there is nothing.
async fn look(repository: &Repository, name: &TagOrDigest) -> Result<Option<Manifest>, UpdateError> {
    match repository.manifest(name).await {
        Ok(manifest) => Ok(Some(manifest)),
        Err(error) if error.kind() == port_registry::Kind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
