//! What a registry has of a package, brought here: documents into memory, layers into the store.

use port_content::limit;
use port_layout::document::{self, Document};
use port_layout::kraftkit::{self, Found};
use port_layout::{Blob, Descriptor, IndexDocument, Manifest};
use port_model::{Digest, Reference};
use port_registry::{Kind, Partial, Repository, Tag, TagOrDigest};

use super::load::{self, Target};
use super::{PackageError, Packages, Selection, media_types};

/// The index that a name has in the registry.
pub(super) struct Remote {
    pub(super) index: IndexDocument,
    pub(super) digest: Digest,
}

pub(super) fn tag_of(reference: &Reference) -> Result<TagOrDigest, PackageError> {
    // A reference's version is a tag, or it would not be one.
    let invalid = |source| port_layout::kraftkit::KraftkitError::Name { name: reference.to_string(), source };
    Ok(TagOrDigest::Tag(reference.version().parse::<Tag>().map_err(invalid)?))
}

/// The index below the tag or, where the selection has the digest of an index, that one.
pub(super) async fn index(repository: &Repository, selection: &Selection) -> Result<Remote, PackageError> {
    if let Some(digest) = selection.digest() {
        let found = repository.manifest(&TagOrDigest::Digest(digest.clone())).await;
        match found {
            Ok(found) if IndexDocument::read(&found.bytes, Some(&found.media_type)).is_ok() => {
                return read(selection, &found);
            }
            // A manifest's digest: the index that it belongs to is the tag's.
            Ok(_) => {}
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    match repository.manifest(&tag_of(&selection.reference)?).await {
        Ok(found) => read(selection, &found),
        Err(error) if error.kind() == Kind::NotFound => Err(PackageError::NotFound {
            reference: selection.reference.to_string(),
            place: "the registry".to_owned(),
        }),
        Err(error) => Err(error.into()),
    }
}

fn read(selection: &Selection, found: &port_registry::Manifest) -> Result<Remote, PackageError> {
    let index = IndexDocument::read(&found.bytes, Some(&found.media_type)).map_err(|source| {
        PackageError::Document { subject: format!("the index of `{}`", selection.reference), source }
    })?;
    Ok(Remote { index, digest: found.digest.clone() })
}

/// Both documents of a target: from the store, where they are there (acceptance K-52), else from the registry.
pub(super) async fn target(
    packages: &Packages,
    repository: &Repository,
    reference: &Reference,
    found: &Found,
) -> Result<Target, PackageError> {
    let blob = packages.store.blob(&found.descriptor);
    load::check_algorithm("the manifest", &blob.digest)?;
    let bytes = match packages.store.read(&blob).ok().flatten() {
        Some(bytes) => bytes,
        None => manifest(repository, reference, &found.descriptor).await?,
    };
    let document = document::read(&bytes, Some(&found.descriptor.media_type));
    let subject = || format!("the manifest {}", blob.digest);
    let manifest: Manifest = match document {
        Ok(Document::Manifest(manifest)) => *manifest,
        Ok(Document::Index(_)) => {
            let reference = reference.to_string();
            return Err(PackageError::NoManifest { reference, digest: blob.digest });
        }
        Err(source) => return Err(PackageError::Document { subject: subject(), source }),
    };
    for layer in &manifest.layers {
        media_types::packing(layer)?;
    }
    let Blob { digest, size } = manifest.config.blob();
    let config = match packages.store.read(&manifest.config.blob()).ok().flatten() {
        Some(bytes) => bytes,
        None => repository.blob_to_memory(&digest, size, limit::DOCUMENT).await?.to_vec(),
    };
    Target::read(reference, found, (manifest, bytes), config)
}

async fn manifest(
    repository: &Repository,
    reference: &Reference,
    entry: &Descriptor,
) -> Result<Vec<u8>, PackageError> {
    let found = match repository.manifest(&TagOrDigest::Digest(entry.digest.clone())).await {
        Err(error) if error.kind() == Kind::NotFound => {
            return Err(PackageError::Gone {
                reference: reference.to_string(),
                digest: entry.digest.clone(),
                place: "the registry".to_owned(),
            });
        }
        other => other?,
    };
    let size = found.bytes.len() as u64;
    if let Some(expected) = kraftkit::known_size(entry).filter(|expected| *expected != size) {
        let source = port_content::verify::Mismatch::Size { expected, found: size, more: false };
        return Err(PackageError::Mismatch { subject: format!("the manifest {}", entry.digest), source });
    }
    Ok(found.bytes.to_vec())
}

/// Brings a blob into the store; says whether it had to be fetched.
pub(super) async fn blob(
    packages: &Packages,
    repository: &Repository,
    blob: &Blob,
) -> Result<bool, PackageError> {
    if packages.store.is_sound(blob)? {
        return Ok(false);
    }
    let partial = Partial::wait(&packages.store.partial_path(&blob.digest)?).await?;
    // Whoever held the file before may have brought the blob.
    if packages.store.is_sound(blob)? {
        partial.forget()?;
        return Ok(false);
    }
    repository.blob_to_file(&blob.digest, blob.size, &partial).await?;
    packages.store.adopt(partial, blob)?;
    Ok(true)
}
