//! The manifest of one variant: under the variant's own tag, else through the index of the version.
//!
//! A version that another tool copied has its index and not Port's tags. What an index means is for the caller, who gives
//! [`SelectVariant`]; nothing falls back to another variant.

use std::error::Error;

use port_model::{Digest, Reference, Variant};
use port_registry::{Kind, Manifest, RegistryError, Repository, TagOrDigest};

use super::{failed, index, tag};
use crate::backend::Document;
use crate::error::{BackendError, ErrorKind};

/// One manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, as the index says.
    pub size: u64,
}

/// Why an index does not give a variant.
#[derive(Debug)]
pub struct Refusal {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// Why; where the variant is absent, with a list of those that exist.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Finds the one manifest of a variant in the index of its version. `None` where the document is no index.
pub type SelectVariant = dyn Fn(&Document, Variant) -> Result<Option<Selected>, Refusal> + Send + Sync;

/// The variant's manifest.
pub(super) async fn manifest(
    repository: &Repository,
    reference: &Reference,
    variant: Variant,
    select: Option<&SelectVariant>,
) -> Result<Manifest, BackendError> {
    let name = TagOrDigest::Tag(tag(reference, &reference.variant_tag(variant))?);
    match (repository.manifest(&name).await, select) {
        (Ok(manifest), _) => Ok(manifest),
        (Err(error), Some(select)) if error.kind() == Kind::NotFound => {
            through_index(repository, reference, variant, select, error).await
        }
        (Err(error), _) => Err(failed(error)),
    }
}

/// `absent` is what is said where the index does not exist either.
async fn through_index(
    repository: &Repository,
    reference: &Reference,
    variant: Variant,
    select: &SelectVariant,
    absent: RegistryError,
) -> Result<Manifest, BackendError> {
    let name = TagOrDigest::Tag(tag(reference, reference.version())?);
    let Some(found) = index::read(repository, &name).await? else { return Err(failed(absent)) };
    let refused = |kind, source| {
        BackendError::new(kind, reference.to_string(), format!("find the variant `{variant}`"), source)
    };
    let selected = select(&index::document(&found), variant);
    let Some(selected) = selected.map_err(|refusal| refused(refusal.kind, refusal.source))? else {
        return Err(failed(absent));
    };
    let name = TagOrDigest::Digest(selected.digest.clone());
    let manifest = repository.manifest(&name).await.map_err(failed)?;
    let size = manifest.bytes.len() as u64;
    if size != selected.size {
        let reason = format!("{} is {size} bytes, the index says {}", selected.digest, selected.size);
        return Err(refused(ErrorKind::Corrupt, reason.into()));
    }
    Ok(manifest)
}
