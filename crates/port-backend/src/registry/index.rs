//! One variant put into a shared index without losing another publisher's: see `Repository::merge_manifest`.

use std::time::Duration;

use bytes::Bytes;
use port_model::Reference;
use port_registry::{Failure, Kind, Manifest, MergeError, RegistryError, Repository, TagOrDigest};

use super::failed;
use crate::backend::{Document, MergeIndex};
use crate::error::{BackendError, ErrorKind};

/// How often an index is offered to a registry that does not know all of its manifests.
const OFFERS: u32 = 6;
/// How long the first pause in between is; each one is longer by as much.
const PAUSE: Duration = Duration::from_millis(50);

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
    let mut offers = 1;
    loop {
        match repository.merge_manifest::<String>(name, &merged).await {
            Ok(()) => return Ok(()),
            Err(MergeError::Registry(error)) if offers < OFFERS && lacks_a_manifest(&error) => {
                tokio::time::sleep(PAUSE * offers).await;
                offers += 1;
            }
            Err(MergeError::Registry(error)) => return Err(failed(error)),
            Err(MergeError::Refused(reason)) => {
                let operation = "put the variant into the index";
                return Err(BackendError::new(ErrorKind::Conflict, reference.to_string(), operation, reason));
            }
        }
    }
}

/// NOTE: docker's registry on a file system writes anew what leads to a manifest that is pushed once more, as every
/// publisher does who gives it a tag. Who pushes an index at that moment reads that one of its manifests is unknown.
fn lacks_a_manifest(error: &RegistryError) -> bool {
    let (Failure::Refused(refusal) | Failure::NotFound(refusal)) = &*error.failure else { return false };
    refusal.details.iter().any(|detail| detail.starts_with("MANIFEST_BLOB_UNKNOWN"))
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
