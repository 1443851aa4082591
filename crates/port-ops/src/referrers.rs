//! referrers: what refers to a manifest: signatures, attestations, deltas of others.

use std::collections::BTreeMap;

use port_config::Backend as BackendConfig;
use port_layout::Descriptor;
use port_model::Digest;
use serde::Serialize;

use crate::copy::{CopyError, Facts, Place, Side, Surroundings};
use crate::error::OpsError;
use crate::registry;
use crate::target::Target;
use crate::workspace::Workspace;

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
    let side = Side::source(&surroundings.client(), place)?;
    Ok(list(&side, place, artifact_type).await?)
}

/// Lists what refers to the published manifest of one variant.
pub async fn referrers_of(
    workspace: &Workspace,
    target: Target<'_>,
    artifact_type: Option<&str>,
) -> Result<ReferrersReport, OpsError> {
    let artifact = target.artifact;
    let config = match &artifact.distribution.pull {
        Some(BackendConfig::OciRegistry(config)) => config,
        Some(other) => {
            let (artifact, kind) = (artifact.name.clone(), other.kind());
            return Err(OpsError::NoReferrers { artifact, kind });
        }
        None => return Err(OpsError::NoBackend { artifact: artifact.name.clone(), direction: "pull" }),
    };
    let client = registry::client(workspace, &artifact.reference, config)?;
    let tag = artifact.reference.variant_tag(target.variant());
    let tag = tag.parse().map_err(|error: port_model::ReferenceError| CopyError::Place {
        text: tag.clone(),
        reason: error.to_string(),
    })?;
    let place = Place::of_reference(&artifact.reference, tag);
    let side = Side::source(&client, &place)?;
    Ok(list(&side, &place, artifact_type).await?)
}

async fn list(side: &Side, place: &Place, artifact_type: Option<&str>) -> Result<ReferrersReport, CopyError> {
    let subject = side.resolve(place).await?.digest;
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
