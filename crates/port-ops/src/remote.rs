//! What is published, as the pull backend says: every variant of an artifact, or the bundle of one. No file is fetched.

use port_backend::ErrorKind;
use port_config::{Artifact, Backend as BackendConfig, RegistryConfig};
use port_content::hashing::digest_of;
use port_layout::Manifest;
use port_layout::index::{IndexDocument, variants};
use port_layout::native::{self, Decoded, Stored};
use port_layout::port_v1::{self, Wanted};
use port_model::{Architecture, ArtifactClass, Digest, ProtectionMode, Reference, Substrate, Variant};
use port_registry::{Kind, Repository, Tag, TagOrDigest};
use serde::Serialize;

use crate::copy::CopyError;
use crate::error::OpsError;
use crate::inspect::{InspectReport, encoded};
use crate::push::open;
use crate::registry::Reading;
use crate::target::Target;
use crate::workspace::Workspace;
use crate::{pull, registry};

/// Everything that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemoteReport {
    /// One row per published variant, by artifact.
    pub published: Vec<RemoteRow>,
}

/// One published variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemoteRow {
    /// The artifact's name.
    pub artifact: String,
    /// Its class.
    pub class: ArtifactClass,
    /// Its logical name.
    pub reference: Reference,
    /// Which variant.
    pub variant: Variant,
    /// Whether `port.toml` has it.
    pub configured: bool,
    /// Digest of its manifest; unknown where the backend keeps none.
    pub manifest: Option<Digest>,
    /// Sum of its files' sizes, in bytes.
    pub bytes: u64,
    /// How it is found: `index`, `tag` or `directory`.
    pub listed: &'static str,
}

/// Lists what is published of every artifact that is pulled from somewhere, or of one.
pub async fn list_remote(workspace: &Workspace, artifact: Option<&str>) -> Result<RemoteReport, OpsError> {
    let mut published = Vec::new();
    for found in workspace.project.artifacts.values() {
        if artifact.is_some_and(|name| name != found.name) {
            continue;
        }
        match &found.distribution.pull {
            Some(BackendConfig::OciRegistry(config)) => {
                published.extend(in_registry(workspace, found, config).await?);
            }
            // An artifact that is only built is no failure of the list.
            None if artifact.is_none() => {}
            _ => published.extend(elsewhere(workspace, found).await?),
        }
    }
    if let Some(name) = artifact {
        workspace.project.artifact(name)?;
    }
    published.sort_by(|a, b| (&a.artifact, a.variant).cmp(&(&b.artifact, b.variant)));
    Ok(RemoteReport { published })
}

/// One variant in a registry, before it is looked at.
struct Listed {
    variant: Variant,
    name: TagOrDigest,
    listed: &'static str,
}

/// The entries of the version's index; where there is none, the tags of variants. A variant of `port.toml` that a killed
/// push left out of the index is found by its tag.
async fn in_registry(
    workspace: &Workspace,
    artifact: &Artifact,
    config: &RegistryConfig,
) -> Result<Vec<RemoteRow>, OpsError> {
    let client = registry::client(workspace, &artifact.reference, config, Reading::Origin)?;
    let (host, name) = port_registry::names_of(&artifact.reference);
    let repository = client.repository(&host, &name).map_err(CopyError::from)?;
    let mut rows = Vec::new();
    let listed = match index(&repository, artifact).await? {
        Some(listed) => listed,
        None => by_tags(&repository, &artifact.reference).await?,
    };
    let missing: Vec<Listed> = artifact
        .variants
        .iter()
        .filter(|config| listed.iter().all(|known| known.variant != config.variant))
        .filter_map(|config| by_tag(&artifact.reference, config.variant))
        .collect();
    for entry in listed.into_iter().chain(missing) {
        rows.extend(look(&repository, artifact, entry).await?);
    }
    Ok(rows)
}

async fn index(repository: &Repository, artifact: &Artifact) -> Result<Option<Vec<Listed>>, CopyError> {
    let Some(version) = tag(artifact.reference.version()) else { return Ok(None) };
    let found = match repository.manifest(&version).await {
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        other => other?,
    };
    // Under the version there may be a plain manifest of another tool: then tags say what there is.
    let Ok(index) = IndexDocument::read(&found.bytes, Some(&found.media_type)) else { return Ok(None) };
    let entries = variants(&index).into_iter().filter(|entry| entry.class == artifact.class);
    Ok(Some(
        entries
            .map(|entry| Listed {
                variant: entry.variant,
                name: TagOrDigest::Digest(entry.descriptor.digest),
                listed: "index",
            })
            .collect(),
    ))
}

async fn by_tags(repository: &Repository, reference: &Reference) -> Result<Vec<Listed>, CopyError> {
    let tags = match repository.tags().await {
        Err(error) if error.kind() == Kind::NotFound => Vec::new(),
        other => other?,
    };
    let known = every_variant().into_iter().filter_map(|variant| by_tag(reference, variant));
    Ok(known.filter(|listed| tags.iter().any(|tag| TagOrDigest::Tag(tag.clone()) == listed.name)).collect())
}

fn every_variant() -> Vec<Variant> {
    let mut all = Vec::new();
    for architecture in Architecture::ALL {
        for substrate in Substrate::ALL {
            all.extend(ProtectionMode::ALL.iter().map(|mode| Variant::new(*architecture, *substrate, *mode)));
        }
    }
    all
}

fn by_tag(reference: &Reference, variant: Variant) -> Option<Listed> {
    Some(Listed { variant, name: tag(&reference.variant_tag(variant))?, listed: "tag" })
}

/// A version may be too long to be a tag with its variant; then nothing can be published under it.
fn tag(text: &str) -> Option<TagOrDigest> {
    text.parse::<Tag>().ok().map(TagOrDigest::Tag)
}

async fn look(
    repository: &Repository,
    artifact: &Artifact,
    entry: Listed,
) -> Result<Option<RemoteRow>, CopyError> {
    let found = match repository.manifest(&entry.name).await {
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        other => other?,
    };
    let sizes = |bytes: &[u8]| {
        let manifest: Option<Manifest> = serde_json::from_slice(bytes).ok();
        manifest.map_or(0, |manifest| {
            manifest.layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size))
        })
    };
    Ok(Some(row(artifact, entry.variant, Some(found.digest.clone()), sizes(&found.bytes), entry.listed)))
}

fn row(
    artifact: &Artifact,
    variant: Variant,
    manifest: Option<Digest>,
    bytes: u64,
    listed: &'static str,
) -> RemoteRow {
    RemoteRow {
        artifact: artifact.name.clone(),
        class: artifact.class,
        reference: artifact.reference.clone(),
        variant,
        configured: artifact.variants.iter().any(|config| config.variant == variant),
        manifest,
        bytes,
        listed,
    }
}

/// Backends that list nothing are asked for every variant that the configuration has.
async fn elsewhere(workspace: &Workspace, artifact: &Artifact) -> Result<Vec<RemoteRow>, OpsError> {
    let mut rows = Vec::new();
    for config in &artifact.variants {
        let target = Target { artifact, config };
        let backend = open(workspace, target, "pull", artifact.distribution.pull.as_ref())?;
        let found = match backend.resolve(&artifact.reference, config.variant).await {
            Err(error) if error.kind == ErrorKind::NotFound => continue,
            other => other?,
        };
        let bytes = found.files.iter().fold(0u64, |sum, file| sum.saturating_add(file.size));
        let manifest = found.documents.as_ref().map(|documents| digest_of(&documents.manifest));
        rows.push(row(artifact, config.variant, manifest, bytes, "directory"));
    }
    Ok(rows)
}

/// The published bundle of one variant, by its documents.
pub async fn inspect_remote(workspace: &Workspace, target: Target<'_>) -> Result<InspectReport, OpsError> {
    let backend = open(workspace, target, "pull", target.artifact.distribution.pull.as_ref())?;
    let reference = &target.artifact.reference;
    let found = backend.resolve(reference, target.variant()).await?;
    let location = backend.location(reference, target.variant(), &target.config.file_name);
    let wrong = |reason: String| OpsError::WrongContent {
        location: location.clone(),
        artifact: target.artifact.name.clone(),
        variant: target.variant(),
        reason,
    };
    let Some(documents) = &found.documents else {
        return Err(wrong("nothing describes it; pull it, and inspect the local files".to_owned()));
    };
    let decoded = if native::decode_manifest(&documents.manifest).is_ok() {
        pull::check_config(documents).map_err(wrong)?;
        let decoded = pull::native_bundle(target, backend.as_ref(), documents)?;
        pull::check_identity(target, &decoded.bundle).map_err(wrong)?;
        decoded
    } else {
        foreign(target, &documents.manifest, &location)?
    };
    let manifest = digest_of(&documents.manifest);
    let config = target.artifact.distribution.pull.as_ref();
    let repository = registry::repository(workspace, reference, config, Reading::MirrorsFirst)?;
    let published = encoded::published(workspace, repository.as_ref(), &manifest, &decoded).await?;
    Ok(InspectReport {
        artifact: target.artifact.name.clone(),
        reference: reference.clone(),
        name: target.name(),
        origin: backend.describe(),
        manifest: Some(manifest),
        bundle: decoded.bundle,
        published,
    })
}

/// What `oras push`, or Port as published, put there.
fn foreign(target: Target<'_>, manifest: &[u8], location: &str) -> Result<Decoded, OpsError> {
    let (variant, file_name) = (target.variant(), target.config.file_name.clone());
    let wanted = Wanted { class: target.artifact.class, variant, file_name };
    let decoded = port_v1::decode(manifest, &wanted).map_err(|source| OpsError::ForeignDocuments {
        location: location.to_owned(),
        artifact: target.artifact.name.clone(),
        source: Box::new(source),
    })?;
    let bundle = decoded.bundle;
    let stored = bundle.components.iter().map(|_| Stored::Raw).collect();
    Ok(Decoded { bundle, stored })
}
