//! Where a name of the store came from: the place that its artifact is pulled from, or the registry that it spells.
//!
//! Names say `<registry>/<repository>:<tag>`. How that registry is reached says the configuration of an artifact that lives there, also
//! where it stands at another version by now; else it is https with the credential files.

use std::str::FromStr as _;

use port_backend::{Backend, FileSystem, FoundFile};
use port_config::{Artifact, Backend as BackendConfig, RegistryConfig};
use port_content::hashing::digest_of;
use port_layout::index::name_of;
use port_layout::{Descriptor, Index};
use port_model::{Digest, Reference, Variant};
use port_registry::Repository;

use crate::copy::Facts;
use crate::error::OpsError;
use crate::registry::{self, Reading};
use crate::source::Source;
use crate::workspace::Workspace;

/// The most steps from a referrer to a name: a signature of a signature is two.
const LONGEST_CHAIN: usize = 8;

/// One place, open.
pub(super) struct Origin {
    pub(super) backend: Box<dyn Backend>,
    /// The same place, where it is a registry.
    pub(super) repository: Option<Repository>,
    pub(super) reference: Reference,
    /// What the name says; names that a copy gave need not say any.
    pub(super) variant: Option<Variant>,
}

impl Origin {
    /// The place that an entry of the store came from.
    pub(super) fn of(workspace: &Workspace, index: &Index, entry: &Descriptor) -> Result<Self, OpsError> {
        let name = spelled(workspace, index, entry);
        let name = name.ok_or_else(|| OpsError::NoOrigin {
            name: name_of(entry).map_or_else(|| entry.digest.to_string(), str::to_owned),
            reason: "it is not written as `<registry>/<repository>:<tag>`".to_owned(),
        })?;
        let (reference, variant, config) = configured(workspace, &name)?;
        let unsupported = |kind: &str| OpsError::NoOrigin {
            name: name.clone(),
            reason: format!("the backend `{kind}` cannot be asked for a blob"),
        };
        let (backend, repository): (Box<dyn Backend>, _) = match &config {
            BackendConfig::FileSystem { root } => (Box::new(FileSystem::new(root)), None),
            BackendConfig::OciRegistry(access) => {
                let backend = registry::backend(workspace, &reference, access, Reading::MirrorsFirst)?;
                let repository =
                    registry::repository(workspace, &reference, Some(&config), Reading::MirrorsFirst)?;
                (Box::new(backend), repository)
            }
            other => return Err(unsupported(other.kind())),
        };
        Ok(Self { backend, repository, reference, variant })
    }

    /// A document or a file out of a directory, which knows no digests: what is published there now may be another.
    pub(super) async fn fetch_from_directory(
        &self,
        workspace: &Workspace,
        digest: &Digest,
        size: u64,
        variant: Option<Variant>,
    ) -> Result<(String, u64), OpsError> {
        let other = || OpsError::OtherPublished {
            place: self.place(),
            name: self.reference.to_string(),
            digest: digest.clone(),
        };
        let variant = variant.or(self.variant).ok_or_else(other)?;
        let found = self.backend.resolve(&self.reference, variant).await?;
        let documents = found.documents.into_iter().flat_map(|found| [found.manifest, found.config]);
        for bytes in documents {
            if &digest_of(&bytes) == digest {
                workspace.store.ingest_bytes("document", &bytes)?;
                return Ok((self.place(), bytes.len() as u64));
            }
        }
        let same =
            |file: &&FoundFile| file.size == size && file.digest.as_ref().is_none_or(|known| known == digest);
        let file = found.files.iter().find(same).ok_or_else(other)?;
        let (backend, reference) = (self.backend.as_ref(), &self.reference);
        let source = Source { workspace, backend, repository: None, reference, variant };
        let (_, moved) = source.fetch(file, Some((digest, size))).await?;
        Ok((self.place(), moved))
    }

    /// What it is called in reports.
    pub(super) fn place(&self) -> String {
        match &self.repository {
            Some(repository) => format!("{}/{}", repository.registry(), repository.name()),
            None => self.backend.describe(),
        }
    }
}

/// The name that says where an entry came from: its own; for what refers or is attached to something, one that leads to that.
fn spelled(workspace: &Workspace, index: &Index, entry: &Descriptor) -> Option<String> {
    let is_place = |name: &String| name.contains('/');
    let mut entry = entry.clone();
    for _ in 0..LONGEST_CHAIN {
        if let Some(name) = name_of(&entry).map(str::to_owned).filter(is_place) {
            return Some(name);
        }
        let of_tag = name_of(&entry).and_then(attached_to);
        let subject = match of_tag {
            Some(subject) => subject,
            None => Facts::of(&workspace.store.read_document(&entry).ok()?).subject?.digest,
        };
        if let Some(name) = workspace.store.names_leading_to(&subject).ok()?.into_iter().find(is_place) {
            return Some(name);
        }
        entry = index.manifests.iter().find(|other| other.digest == subject)?.clone();
    }
    None
}

/// What cosign's tags, and those that stand in for a list of referrers, are made of.
fn attached_to(name: &str) -> Option<Digest> {
    let digest = name.strip_prefix("sha256-")?;
    let hex = digest.split_once('.').map_or(digest, |(hex, _)| hex);
    Digest::from_str(&format!("sha256:{hex}")).ok()
}

/// Reference, variant and access of a name.
fn configured(
    workspace: &Workspace,
    name: &str,
) -> Result<(Reference, Option<Variant>, BackendConfig), OpsError> {
    let invalid = |error: port_model::ReferenceError| OpsError::NoOrigin {
        name: name.to_owned(),
        reason: crate::error::chain(&error),
    };
    let mut access = None;
    for artifact in workspace.project.artifacts.values() {
        let of = &artifact.reference;
        let prefix = format!("{}/{}:", of.registry(), of.repository());
        let (Some(tag), Some(config)) = (name.strip_prefix(&prefix), place(artifact)) else { continue };
        for variant in artifact.variants.iter().map(|config| config.variant) {
            if let Some(version) = tag.strip_suffix(&format!("-{}", variant.tag_suffix())) {
                let reference = Reference::new(of.registry(), of.repository(), version).map_err(invalid)?;
                return Ok((reference, Some(variant), config.clone()));
            }
        }
        access = Some(config.clone());
    }
    let access = access.unwrap_or_else(|| BackendConfig::OciRegistry(RegistryConfig::default()));
    Ok((name.parse().map_err(invalid)?, None, access))
}

/// Where an artifact is pulled from; one that is only pushed is there, too.
fn place(artifact: &Artifact) -> Option<&BackendConfig> {
    artifact.distribution.pull.as_ref().or(artifact.distribution.push.as_ref())
}
