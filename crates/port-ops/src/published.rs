//! The index of all variants of a version: what is in it, how one is found in it, and how one more goes in.

use std::sync::Arc;

use port_backend::{Backend, Document, ErrorKind, SelectVariant, Selected};
use port_config::Project;
use port_content::hashing::digest_of;
use port_layout::Descriptor;
use port_layout::index::{Change, Conflict, IndexDocument, Merged, SelectError, Strategy, merge};
use port_model::{ArtifactClass, Bundle, Reference, Variant};

use crate::error::OpsError;
use crate::target::Target;

/// One variant that is to be in the index.
pub(crate) struct Entry<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) manifest: &'a [u8],
    pub(crate) strategy: Strategy,
}

/// Why an index cannot take an entry.
pub(crate) enum Refusal {
    /// Something is in the way.
    Conflict(Conflict),
    /// What is there is no index.
    Unreadable(String),
}

impl Entry<'_> {
    /// The index with this entry; `None` where it is in it already.
    pub(crate) fn merge(&self, existing: Option<&Document>) -> Result<Option<Document>, Refusal> {
        let read = |document: &Document| IndexDocument::read(&document.bytes, Some(&document.media_type));
        let existing =
            existing.map(read).transpose().map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let (digest, size) = (digest_of(self.manifest), self.manifest.len() as u64);
        let merged = merge(existing.as_ref(), self.bundle, digest, size, self.strategy);
        let Merged { index, change } = merged.map_err(Refusal::Conflict)?;
        if change == Change::Unchanged {
            return Ok(None);
        }
        Ok(Some(Document { media_type: index.media_type().to_owned(), bytes: index.to_bytes() }))
    }

    /// The same, its refusal in words.
    pub(crate) fn merge_words(&self, existing: Option<&Document>) -> Result<Option<Document>, String> {
        self.merge(existing).map_err(|refusal| match refusal {
            Refusal::Conflict(conflict) => conflict.to_string(),
            Refusal::Unreadable(reason) => reason,
        })
    }
}

/// Refuses what the index that is there now would not take, and what would take a name that no index lists from whoever
/// has it.
pub(crate) async fn check(
    backend: &dyn Backend,
    target: Target<'_>,
    entry: &Entry<'_>,
) -> Result<(), OpsError> {
    let reference = &target.artifact.reference;
    let existing = backend.index(reference).await?;
    let taken = |conflict| OpsError::AlreadyPublished {
        artifact: target.artifact.name.clone(),
        reference: reference.to_string(),
        source: Box::new(conflict),
    };
    match entry.merge(existing.as_ref()) {
        // It is listed already: where the name leads elsewhere, a push died before it moved.
        Ok(None) => Ok(()),
        Ok(Some(_)) if entry.strategy == Strategy::Overwrite => Ok(()),
        Ok(Some(_)) => {
            let expected = digest_of(entry.manifest);
            let found = backend.named(reference, target.variant()).await?;
            let Some(found) = found.filter(|found| found != &expected) else { return Ok(()) };
            let (class, variant) = (entry.bundle.class, entry.bundle.variant);
            Err(taken(Conflict::VariantExists { class, variant, expected, found }))
        }
        Err(Refusal::Conflict(conflict)) => Err(taken(conflict)),
        Err(Refusal::Unreadable(reason)) => Err(OpsError::WrongContent {
            location: reference.to_string(),
            artifact: target.artifact.name.clone(),
            variant: target.variant(),
            reason: format!("the tag is taken by something that is no index: {reason}"),
        }),
    }
}

/// How the variants of `reference` are found in its index, for a backend. An index may have a kernel and a guest image of
/// one variant; which is meant says the configuration, where a variant of a reference is one artifact's alone.
pub(crate) fn select(project: &Project, reference: &Reference) -> Arc<SelectVariant> {
    let artifacts = project.artifacts.values().filter(|artifact| &artifact.reference == reference);
    let classes: Vec<(Variant, ArtifactClass)> = artifacts
        .flat_map(|artifact| artifact.variants.iter().map(|config| (config.variant, artifact.class)))
        .collect();
    Arc::new(move |document, variant| {
        let Some((_, class)) = classes.iter().find(|(known, _)| *known == variant) else { return Ok(None) };
        let selected = in_index(document, *class, variant).map_err(|error| {
            let kind = match &error {
                SelectError::NoSuchVariant { .. } => ErrorKind::NotFound,
                SelectError::Ambiguous { .. } => ErrorKind::Conflict,
            };
            port_backend::Refusal { kind, source: error.into() }
        })?;
        Ok(selected.map(|found| Selected { digest: found.digest, size: found.size }))
    })
}

/// The entry of a variant; `None` where the document is no index, as when another tool pushed a single manifest.
pub(crate) fn in_index(
    document: &Document,
    class: ArtifactClass,
    variant: Variant,
) -> Result<Option<Descriptor>, SelectError> {
    let Ok(index) = IndexDocument::read(&document.bytes, Some(&document.media_type)) else { return Ok(None) };
    port_layout::index::select(&index, class, variant).map(Some)
}
