//! referrers: what refers to a manifest: signatures, attestations, deltas of others.

use std::collections::BTreeMap;

use port_backend::Document;
use port_config::Backend as BackendConfig;
use port_layout::Descriptor;
use port_model::Digest;
use serde::Serialize;

use crate::copy::{CopyError, Facts, Place, Side, Surroundings};
use crate::error::OpsError;
use crate::target::Target;
use crate::workspace::Workspace;
use crate::{published as variants, registry};

/// What refers to one manifest or index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReferrersReport {
    /// The place that was asked about.
    pub place: Place,
    /// The manifest that it names.
    pub subject: Digest,
    /// What refers to it, by artifact type and digest.
    pub referrers: Vec<Referrer>,
}

/// One manifest that refers to the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Referrer {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// What kind of artifact it is, where it says so.
    pub artifact_type: Option<String>,
    /// Its size in bytes, without what it lists.
    pub bytes: u64,
    /// What it says about itself.
    pub annotations: BTreeMap<String, String>,
}

/// Lists what refers to what `place` names.
pub async fn referrers(
    surroundings: &Surroundings,
    place: &Place,
    artifact_type: Option<&str>,
) -> Result<ReferrersReport, OpsError> {
    let side = Side::source(&surroundings.client(&[place]), place)?;
    let subject = side.resolve(place).await?.digest;
    Ok(list(&side, place, subject, artifact_type).await?)
}

/// Lists what refers to the published manifest of one variant.
pub async fn referrers_of(
    workspace: &Workspace,
    target: Target<'_>,
    artifact_type: Option<&str>,
) -> Result<ReferrersReport, OpsError> {
    let (side, place, subject) = published(workspace, target).await?;
    Ok(list(&side, &place, subject, artifact_type).await?)
}

/// Where the published manifest of one variant is, and its digest.
pub(crate) async fn published(
    workspace: &Workspace,
    target: Target<'_>,
) -> Result<(Side, Place, Digest), OpsError> {
    let artifact = target.artifact;
    let config = match &artifact.distribution.pull {
        Some(BackendConfig::OciRegistry(config)) => config,
        Some(other) => {
            let (artifact, kind) = (artifact.name.clone(), other.kind());
            return Err(OpsError::NoReferrers { artifact, kind });
        }
        None => return Err(OpsError::NoBackend { artifact: artifact.name.clone(), direction: "pull" }),
    };
    let client = registry::client(workspace, &artifact.reference, config, registry::Reading::Origin)?;
    let place = place_of(target, &artifact.reference.variant_tag(target.variant()))?;
    let side = Side::source(&client, &place)?;
    let subject = match side.resolve(&place).await {
        Err(error) if side.is_absent(&error) => through_index(&side, target, error).await?,
        other => other?.digest,
    };
    Ok((side, place, subject))
}

fn place_of(target: Target<'_>, tag: &str) -> Result<Place, CopyError> {
    let tag = tag.parse().map_err(|error: port_model::ReferenceError| CopyError::Place {
        text: tag.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Place::of_reference(&target.artifact.reference, tag))
}

/// The variant's manifest where it has no tag of its own, as pull finds it. `absent` is said where there is no index.
async fn through_index(side: &Side, target: Target<'_>, absent: CopyError) -> Result<Digest, CopyError> {
    let place = place_of(target, target.artifact.reference.version())?;
    let found = match side.resolve(&place).await {
        Err(error) if side.is_absent(&error) => return Err(absent),
        other => other?,
    };
    let bytes = side.document(&found).await?.to_vec();
    let document = Document { media_type: found.media_type, bytes };
    let selected = variants::in_index(&document, target.artifact.class, target.variant());
    let selected = selected.map_err(|error| {
        let (place, reason) = (place.to_string(), error.to_string());
        CopyError::Selection { place, reason }
    })?;
    selected.map(|manifest| manifest.digest).ok_or(absent)
}

async fn list(
    side: &Side,
    place: &Place,
    subject: Digest,
    artifact_type: Option<&str>,
) -> Result<ReferrersReport, CopyError> {
    let mut referrers = Vec::new();
    for listed in side.referrers(&subject).await? {
        let listed = described(side, listed).await?;
        // Filtered here: registries may list without the type, which is in the manifest.
        if artifact_type.is_none_or(|wanted| listed.artifact_type.as_deref() == Some(wanted)) {
            referrers.push(Referrer {
                digest: listed.digest,
                media_type: listed.media_type,
                artifact_type: listed.artifact_type,
                bytes: listed.size,
                annotations: listed.annotations,
            });
        }
    }
    referrers.sort_by(|a, b| (&a.artifact_type, &a.digest).cmp(&(&b.artifact_type, &b.digest)));
    Ok(ReferrersReport { place: place.clone(), subject, referrers })
}

/// A descriptor with its artifact type: some registries do not list it.
async fn described(side: &Side, listed: Descriptor) -> Result<Descriptor, CopyError> {
    if listed.artifact_type.is_some() {
        return Ok(listed);
    }
    match side.document(&listed).await {
        Ok(bytes) => Ok(Facts::of(&bytes).describe(&listed)),
        // Deleted, and still on the list.
        Err(error) if side.is_absent(&error) => Ok(listed),
        Err(error) => Err(error),
    }
}
