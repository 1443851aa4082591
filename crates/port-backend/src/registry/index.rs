//! One variant put into a shared index without losing another publisher's: see `Repository::merge_manifest`.

use bytes::Bytes;
use port_model::Reference;
use port_registry::{Kind, Manifest, MergeError, Repository, TagOrDigest};

use super::failed;
use crate::backend::{Document, MergeIndex};
use crate::error::{BackendError, ErrorKind};

/// Puts the variant in, until two looks have found it there.
pub(super) async fn update(
    repository: &Repository,
    reference: &Reference,
    name: &TagOrDigest,
    merge: MergeIndex<'_>,
) -> Result<(), BackendError> {
    let merged = |existing: Option<&Manifest>| {
        let merged = merge(existing.map(document).as_ref())?;
        Ok(merged.map(|document| (document.media_type, Bytes::from(document.bytes))))
    };
    repository.merge_manifest(name, &merged).await.map_err(|error: MergeError<String>| match error {
        MergeError::Registry(error) => failed(error),
        MergeError::Refused(reason) => {
            let operation = "put the variant into the index";
            BackendError::new(ErrorKind::Conflict, reference.to_string(), operation, reason)
        }
    })
}

/// The index that is there.
pub(super) async fn read(
    repository: &Repository,
    name: &TagOrDigest,
) -> Result<Option<Manifest>, BackendError> {
    match repository.manifest(name).await {
        Ok(manifest) => Ok(Some(manifest)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The index as the caller takes it.
pub(super) fn document(manifest: &Manifest) -> Document {
    Document { media_type: manifest.media_type.clone(), bytes: manifest.bytes.to_vec() }
}
