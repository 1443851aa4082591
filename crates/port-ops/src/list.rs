//! list: what is where, for every variant of every artifact (acceptance Pu-15).

use std::path::PathBuf;

use port_model::{ArtifactClass, Reference, Variant};
use serde::Serialize;

use crate::error::OpsError;
use crate::local;
use crate::target::Target;
use crate::workspace::Workspace;

/// Where a variant's main file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Presence {
    /// At the local path only.
    #[serde(rename = "local")]
    Local,
    /// At the local path and in the cache.
    #[serde(rename = "local+cache")]
    LocalAndCache,
    /// In the cache only.
    #[serde(rename = "cache-only")]
    CacheOnly,
    /// Nowhere.
    #[serde(rename = "missing")]
    Missing,
}

impl Presence {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::LocalAndCache => "local+cache",
            Self::CacheOnly => "cache-only",
            Self::Missing => "missing",
        }
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListReport {
    /// One row per variant, by artifact.
    pub artifacts: Vec<ListRow>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListRow {
    /// The artifact's name.
    pub artifact: String,
    /// Its class.
    pub class: ArtifactClass,
    /// Its logical name.
    pub reference: Reference,
    /// Which variant.
    pub variant: Variant,
    /// Where its main file is.
    pub state: Presence,
    /// The local path.
    pub local_path: PathBuf,
    /// The cache path.
    pub cache_path: PathBuf,
    /// Size of the file that is there, in bytes.
    pub bytes: Option<u64>,
}

/// Lists every variant, or those of one artifact.
pub fn list(workspace: &Workspace, artifact: Option<&str>) -> Result<ListReport, OpsError> {
    let artifacts: Vec<_> = match artifact {
        Some(name) => vec![workspace.project.artifact(name)?],
        None => workspace.project.artifacts.values().collect(),
    };
    let targets = artifacts
        .into_iter()
        .flat_map(|artifact| artifact.variants.iter().map(move |config| Target { artifact, config }));
    Ok(ListReport { artifacts: targets.map(row).collect::<Result<_, _>>()? })
}

fn row(target: Target<'_>) -> Result<ListRow, OpsError> {
    let local_path = local::main(target).path;
    let cache_path = target.cache_path(&target.config.file_name);
    let size = |path| Ok::<_, OpsError>(port_content::fs::try_metadata(path)?.map(|metadata| metadata.len()));
    let (local, cached) = (size(&local_path)?, size(&cache_path)?);
    let state = match (local, cached) {
        (Some(_), Some(_)) => Presence::LocalAndCache,
        (Some(_), None) => Presence::Local,
        (None, Some(_)) => Presence::CacheOnly,
        (None, None) => Presence::Missing,
    };
    Ok(ListRow {
        artifact: target.artifact.name.clone(),
        class: target.artifact.class,
        reference: target.artifact.reference.clone(),
        variant: target.variant(),
        state,
        local_path,
        cache_path,
        bytes: local.or(cached),
    })
}
