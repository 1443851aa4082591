//! Where releases come from: a registry, an image layout on a medium, or a web server with `latest.json`.
//!
//! What is asked is asked once here, and what comes of it is an [`Offer`] with the bytes' places. Invariant: whatever the place is, the
//! same gates decide (acceptance O-43), and what was resolved is what is fetched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use port_model::Reporter;
use port_trust::SignedName;

use super::media::Medium;
use super::offer::Offer;
use super::{AgentError, Profile, Trust, web};
use crate::copy::Side;
use crate::update::fetch::Wanted;
use crate::update::{Publisher, RepositoryPlace};

/// See the module.
pub enum Origin {
    /// A repository of a registry, and a tag in it.
    Registry {
        /// How the registry is reached.
        registry: Box<Publisher>,
        /// The repository.
        place: RepositoryPlace,
        /// The tag.
        tag: String,
    },
    /// An OCI image layout: a directory, or a tar archive of one.
    Media {
        /// Where it lies.
        path: PathBuf,
        /// The repository that its releases were signed for, where that is known.
        place: Option<RepositoryPlace>,
        /// The name in it.
        tag: String,
    },
    /// `latest.json` below this address.
    Server {
        /// The address.
        url: String,
        /// Who listens.
        reporter: Arc<dyn Reporter>,
    },
}

impl Origin {
    /// What is offered there; `scratch` is where an archive is unpacked.
    pub(super) async fn ask(
        &self,
        trust: &Trust,
        profile: &Profile,
        scratch: &Path,
    ) -> Result<Offer, AgentError> {
        match self {
            Self::Registry { registry, place, tag } => {
                let side = Side::Registry(registry.repository(place)?);
                Offer::of_side(
                    side,
                    None,
                    &wanted(place.to_string(), tag, profile),
                    Some(place),
                    (trust, profile),
                )
                .await
            }
            Self::Media { path, place, tag } => {
                let medium = Medium::open(path, scratch)?;
                let side = Side::layout(medium.directory())?;
                let wanted = wanted(path.display().to_string(), tag, profile);
                Offer::of_side(side, Some(medium), &wanted, place.as_ref(), (trust, profile)).await
            }
            Self::Server { url, reporter } => web::ask(url, reporter, trust, profile.architecture).await,
        }
    }
}

fn wanted<'a>(place: String, tag: &'a str, profile: &Profile) -> Wanted<'a> {
    Wanted { place, tag, architecture: profile.architecture }
}

/// The name that signatures of this repository's manifests have.
pub(in crate::update) fn signed_name(place: &RepositoryPlace) -> SignedName {
    SignedName::new(&place.registry.to_string(), &place.repository.to_string())
}
