//! A whole `port.toml`, checked; and how to find things in it by name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use port_model::{Architecture, ArchitectureSelector, suggest};

use crate::ConfigError;
use crate::artifact::Artifact;
use crate::control_plane::ControlPlane;
use crate::machine::Machine;
use crate::read;
use crate::registries::RegistrySettings;

/// Where the local store is unless the file says otherwise.
pub const DEFAULT_STORE_ROOT: &str = ".port/store";
/// The Firecracker CI bucket unless the file says otherwise.
pub const DEFAULT_FIRECRACKER_CI_URL: &str = "https://s3.amazonaws.com/spec.ccfc.min";

/// A checked `port.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Root of the local store, as written.
    pub store_root: PathBuf,
    /// Where sources are fetched from.
    pub sources: SourceSettings,
    /// Kernels and guest images by name; a name is in one class only (acceptance P-25).
    pub artifacts: BTreeMap<String, Artifact>,
    /// What is said of registries, by host in lower case.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// Control planes by name.
    pub control_planes: BTreeMap<String, ControlPlane>,
    /// Machines by name.
    pub machines: BTreeMap<String, Machine>,
    /// The cache of base images.
    pub base_images: BaseImageSettings,
    /// Tables of published files that Port keeps and does not use.
    pub opaque: OpaqueTables,
}

/// The `[sources]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// Base of the Firecracker CI bucket, without a trailing `/`; a key is joined with `/`.
    pub firecracker_ci_url: String,
    /// The address that redirects to the newest Firecracker release, where it is not the project's own.
    pub firecracker_releases_url: Option<String>,
}

impl Default for SourceSettings {
    fn default() -> Self {
        let firecracker_ci_url = DEFAULT_FIRECRACKER_CI_URL.to_owned();
        Self { firecracker_ci_url, firecracker_releases_url: None }
    }
}

/// The `[base_images]` table; what is not written is up to whoever makes base images ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseImageSettings {
    /// The architecture of commands that name none.
    pub architecture: Option<ArchitectureSelector>,
    /// Where base images are kept.
    pub cache_directory: Option<PathBuf>,
    /// How many are kept, as written: what is no number of base images is refused with a code of its own.
    pub max_stored_images: Option<u64>,
    /// A hosted manifest's URL.
    pub manifest_url: Option<String>,
    /// A hosted manifest's path.
    pub manifest_path: Option<PathBuf>,
}

/// `[hosts]`, `[nodes]` and `[host_groups]` (acceptance Pu-1), as written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpaqueTables {
    /// `[hosts]`.
    pub hosts: toml::Table,
    /// `[nodes]`.
    pub nodes: toml::Table,
    /// `[host_groups]`.
    pub host_groups: toml::Table,
}

/// A name that the file does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no {what} `{name}`{}\n  found: {}",
    suggest::did_you_mean(name, available),
    list(available)
)]
pub struct UnknownName {
    /// What was asked for: `artifact`, `machine` or `control plane`.
    pub what: &'static str,
    /// The name as asked for.
    pub name: String,
    /// The names that exist.
    pub available: Vec<String>,
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl Project {
    /// Reads `text`. `file` is what messages call it; `native` becomes `host`.
    ///
    /// # Errors
    /// [`ConfigError`] with every finding.
    pub fn parse(file: &str, text: &str, host: Architecture) -> Result<Self, ConfigError> {
        read::project(file, text, host)
    }

    /// The artifact `name`, of either class (acceptance P-25).
    ///
    /// # Errors
    /// [`UnknownName`], with the names that exist.
    pub fn artifact(&self, name: &str) -> Result<&Artifact, UnknownName> {
        find("artifact", name, &self.artifacts)
    }

    /// The machine `name`.
    ///
    /// # Errors
    /// [`UnknownName`], with the names that exist.
    pub fn machine(&self, name: &str) -> Result<&Machine, UnknownName> {
        find("machine", name, &self.machines)
    }

    /// The control plane `name`.
    ///
    /// # Errors
    /// [`UnknownName`], with the names that exist.
    pub fn control_plane(&self, name: &str) -> Result<&ControlPlane, UnknownName> {
        find("control plane", name, &self.control_planes)
    }
}

fn find<'a, T>(what: &'static str, name: &str, all: &'a BTreeMap<String, T>) -> Result<&'a T, UnknownName> {
    all.get(name).ok_or_else(|| UnknownName {
        what,
        name: name.to_owned(),
        available: all.keys().cloned().collect(),
    })
}
