//! What is signed or verified: a place that was resolved once, and the manifests behind it.

use port_layout::index::IndexDocument;
use port_layout::{Descriptor, document};
use port_model::Digest;
use port_trust::SignedName;

use crate::copy::{CopyError, Place, Side, Surroundings};
use crate::error::OpsError;
use crate::referrers;
use crate::target::Target;
use crate::trust::error::TrustError;
use crate::workspace::Workspace;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The place.
    pub(crate) place: Place,
    /// `registry/repository`; none in a layout.
    pub(crate) name: Option<SignedName>,
    /// What the place named when it was asked.
    pub(crate) root: Descriptor,
}

/// A subject, and the side where it and its signatures are.
pub(crate) struct Found {
    pub(crate) side: Side,
    pub(crate) subject: Subject,
}

/// Where a manifest is looked for.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// At a place, without a project.
    Place {
        /// How registries are reached.
        surroundings: &'a Surroundings,
        /// The place.
        place: &'a Place,
    },
    /// The published variant of an artifact.
    Target {
        /// The project.
        workspace: &'a Workspace,
        /// The variant.
        target: Target<'a>,
    },
}

impl Wanted<'_> {
    /// Resolves it, once.
    pub(crate) async fn find(self) -> Result<Found, OpsError> {
        let (side, place, root) = match self {
            Self::Place { surroundings, place } => {
                let side = Side::source(&surroundings.client(&[place]), place)?;
                let root = side.resolve(place).await?;
                (side, place.clone(), root)
            }
            Self::Target { workspace, target } => {
                let (side, place, digest) = referrers::published(workspace, target).await?;
                let root = side.resolve(&with_digest(&place, digest)).await?;
                (side, place, root)
            }
        };
        let name = name_of(&place);
        Ok(Found { side, subject: Subject { place, name, root } })
    }
}

impl Found {
    /// The manifest or index, and with `all` every manifest that the index lists.
    pub(crate) async fn manifests(&self, all: Below) -> Result<Vec<Descriptor>, TrustError> {
        let root = &self.subject.root;
        let plain = |entry: &Descriptor| Descriptor::new(&entry.media_type, entry.digest.clone(), entry.size);
        let mut manifests = vec![plain(root)];
        let is_index = document::kind_of(&root.media_type) == Some(document::DocumentKind::Index);
        if all == Below::Too && is_index {
            let bytes = self.side.document(root).await?;
            let index = IndexDocument::read(&bytes, Some(&root.media_type));
            let index = index.map_err(|source| CopyError::Document {
                place: self.subject.place.to_string(),
                digest: root.digest.clone(),
                source: Box::new(source),
            })?;
            let entries = index.entries().iter().map(|entry| plain(entry.descriptor()));
            manifests.extend(entries);
        }
        manifests.dedup_by(|a, b| a.digest == b.digest);
        Ok(manifests)
    }
}

/// Whether what an index lists is meant, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// It is.
    Too,
    /// Only what the place names.
    Not,
}

pub(crate) fn with_digest(place: &Place, found: Digest) -> Place {
    match place.clone() {
        Place::Registry { registry, repository, tag, .. } => {
            Place::Registry { registry, repository, tag, digest: Some(found) }
        }
        Place::Layout { directory, name, .. } => Place::Layout { directory, name, digest: Some(found) },
    }
}

pub(crate) fn name_of(place: &Place) -> Option<SignedName> {
    match place {
        Place::Registry { registry, repository, .. } => {
            Some(SignedName::new(registry.as_str(), repository.as_str()))
        }
        Place::Layout { .. } => None,
    }
}
