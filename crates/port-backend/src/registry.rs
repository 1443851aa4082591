//! An OCI registry as a backend (acceptance P-50 … P-56, docs/formats/layouts.md).
//!
//! ```text
//! <registry>/<repository>:<version>-<arch>-<substrate>-<mode>   the manifest of one variant
//! <registry>/<repository>:<version>                             the index of all variants
//! ```
//!
//! Blobs go first, then the manifest by its digest, then the index, and the variant's tag last: a push that the index
//! refuses, or that dies on the way, has taken the tag from nobody. A kill between the index and the tag leaves a variant
//! that is listed and, under its tag, still the old one or absent; the next push moves the tag. A variant is found by
//! its tag, or, where it has none (another tool copied the version, or such a kill), through the index.

mod index;
mod lookup;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use port_content::limit;
use port_model::{Digest, FileName, Reference, Reporter, Variant};
use port_registry::{
    BlobSource, BlobUpload, Client, Condition, Descriptor, Kind, Partial, Pushed, RegistryError,
    RegistryHost, Repository, Tag, TagOrDigest, media, names_of,
};
use serde::Deserialize;

use crate::backend::{
    Backend, Check, Document, Documents, Fetched, Found, FoundFile, MergeIndex, Publication,
};
use crate::error::{BackendError, ErrorKind};

pub use lookup::{Refusal, SelectVariant, Selected};

/// See the module.
#[derive(Clone)]
pub struct OciRegistry {
    client: Client,
    description: String,
    select: Option<Arc<SelectVariant>>,
}

/// What of a manifest leads to its config. Everything else is the layout's.
#[derive(Deserialize)]
struct ConfigOf {
    config: Descriptor,
}

impl OciRegistry {
    /// The registries that references name, by a client that others may use as well. `description` says how they are
    /// reached, for reports: `oci-registry plain-http anonymous`.
    pub fn new(client: Client, description: String) -> Self {
        Self { client, description, select: None }
    }

    /// The same, which finds variants without a tag of their own through the index, as `select` reads it.
    #[must_use]
    pub fn with_select(self, select: Arc<SelectVariant>) -> Self {
        Self { select: Some(select), ..self }
    }

    fn repository(&self, reference: &Reference) -> Result<Repository, BackendError> {
        let (host, name) = names_of(reference);
        self.client.repository(&host, &name).map_err(failed)
    }
}

/// The kind decides what the caller does; the registry's own words stay in the source.
fn failed(error: RegistryError) -> BackendError {
    let kind = match error.kind() {
        Kind::NotFound => ErrorKind::NotFound,
        Kind::Unauthenticated | Kind::Forbidden => ErrorKind::Denied,
        Kind::Unavailable => ErrorKind::Unavailable,
        Kind::Corrupt | Kind::Hostile => ErrorKind::Corrupt,
        Kind::Unsupported => ErrorKind::Unsupported,
        Kind::Changed => ErrorKind::Conflict,
        Kind::Refused | Kind::Local => ErrorKind::Failed,
    };
    let location = format!("{}/{}", error.registry, error.repository);
    BackendError::new(kind, location, error.operation.to_string(), error)
}

/// For who asks the registry besides the backend: the same failure is the same error.
impl From<RegistryError> for BackendError {
    fn from(error: RegistryError) -> Self {
        failed(error)
    }
}

fn tag(reference: &Reference, text: &str) -> Result<Tag, BackendError> {
    text.parse().map_err(|error| {
        let location = reference.to_string();
        BackendError::new(ErrorKind::Unsupported, location, format!("use `{text}` as a tag"), error)
    })
}

/// The digest by which a registry names the bytes of a file.
fn digest_of<'a>(
    reference: &Reference,
    variant: Variant,
    file: &'a FoundFile,
) -> Result<&'a Digest, BackendError> {
    file.digest.as_ref().ok_or_else(|| {
        let location = reference.variant_name(variant);
        let operation = format!("fetch `{}`", file.name);
        let reason = "a registry names blobs by digest, and none is known";
        BackendError::new(ErrorKind::Unsupported, location, operation, reason)
    })
}

/// The file of a download, with nobody else at it.
async fn hold(target: &Path) -> Result<Partial, BackendError> {
    Partial::wait(target)
        .await
        .map_err(|source| BackendError::new(ErrorKind::Failed, target.display().to_string(), "lock", source))
}

/// The config and the files, each mounted from another repository of the same registry where one may have it.
fn uploads(publication: &Publication, registry: &RegistryHost) -> Vec<BlobUpload> {
    let config = Bytes::from(publication.documents.config.clone());
    let config = BlobUpload {
        digest: port_content::hashing::digest_of(&config),
        size: config.len() as u64,
        source: BlobSource::Bytes(config),
        mount_from: None,
    };
    let files = publication.files.iter().map(|file| {
        let elsewhere = file.elsewhere.as_ref().map(names_of).filter(|(host, _)| host == registry);
        BlobUpload {
            digest: file.digest.clone(),
            size: file.size,
            source: BlobSource::Path(file.path.clone()),
            mount_from: elsewhere.map(|(_, repository)| repository),
        }
    });
    std::iter::once(config).chain(files).collect()
}

async fn put(repository: &Repository, name: &TagOrDigest, manifest: &Bytes) -> Result<(), BackendError> {
    let put = repository.put_manifest(name, media::OCI_MANIFEST, manifest, Condition::None);
    put.await.map(drop).map_err(failed)
}

#[async_trait]
impl Backend for OciRegistry {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn location(&self, reference: &Reference, variant: Variant, _: &FileName) -> String {
        reference.variant_name(variant)
    }

    async fn push(
        &self,
        publication: &Publication,
        merge: MergeIndex<'_>,
        _: &dyn Reporter,
    ) -> Result<u64, BackendError> {
        let reference = &publication.reference;
        let repository = self.repository(reference)?;
        // Both names are known to be good before anything is sent.
        let variant_tag = TagOrDigest::Tag(tag(reference, &reference.variant_tag(publication.variant))?);
        let index_tag = TagOrDigest::Tag(tag(reference, reference.version())?);
        let mut moved = 0;
        for upload in &uploads(publication, repository.registry()) {
            if repository.push_blob(upload).await.map_err(failed)? == Pushed::Sent {
                moved += upload.size;
            }
        }
        let manifest = Bytes::from(publication.documents.manifest.clone());
        let by_digest = TagOrDigest::Digest(port_content::hashing::digest_of(&manifest));
        put(&repository, &by_digest, &manifest).await?;
        index::update(&repository, reference, &index_tag, merge).await?;
        put(&repository, &variant_tag, &manifest).await?;
        Ok(moved)
    }

    async fn resolve(&self, reference: &Reference, variant: Variant) -> Result<Found, BackendError> {
        let repository = self.repository(reference)?;
        let select = self.select.as_deref();
        let manifest = lookup::manifest(&repository, reference, variant, select).await?;
        let ConfigOf { config } = serde_json::from_slice(&manifest.bytes).map_err(|error| {
            let location = reference.variant_name(variant);
            BackendError::new(ErrorKind::Corrupt, location, "read the manifest", error)
        })?;
        let config =
            repository.blob_to_memory(&config.digest, config.size, limit::DOCUMENT).await.map_err(failed)?;
        let documents = Documents { manifest: manifest.bytes.to_vec(), config: config.to_vec() };
        Ok(Found { files: Vec::new(), documents: Some(documents) })
    }

    async fn fetch(
        &self,
        reference: &Reference,
        variant: Variant,
        file: &FoundFile,
        // What a registry has in parts, it has as blobs of their own: the packed encoding is where seeds count.
        _: &[PathBuf],
        target: &Path,
        _: &dyn Reporter,
    ) -> Result<Fetched, BackendError> {
        let (repository, digest) = (self.repository(reference)?, digest_of(reference, variant, file)?);
        let partial = hold(target).await?;
        repository.blob_to_file(digest, file.size, &partial).await.map_err(failed)?;
        Ok(Fetched { check: Check::Done, moved: file.size, found: 0 })
    }

    fn forget(&self, target: &Path) -> Result<(), BackendError> {
        port_registry::forget_partial(target).map_err(|source| {
            BackendError::new(ErrorKind::Failed, target.display().to_string(), "tidy up", source)
        })
    }

    async fn index(&self, reference: &Reference) -> Result<Option<Document>, BackendError> {
        let repository = self.repository(reference)?;
        let name = TagOrDigest::Tag(tag(reference, reference.version())?);
        Ok(index::read(&repository, &name).await?.map(|manifest| index::document(&manifest)))
    }

    async fn named(&self, reference: &Reference, variant: Variant) -> Result<Option<Digest>, BackendError> {
        let repository = self.repository(reference)?;
        let name = TagOrDigest::Tag(tag(reference, &reference.variant_tag(variant))?);
        match repository.resolve(&name).await {
            Ok(found) => Ok(Some(found.digest)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}
