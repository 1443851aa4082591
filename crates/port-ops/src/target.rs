//! One variant of one artifact, resolved once; what every verb works on.

use std::path::PathBuf;

use port_config::{Artifact, VariantConfig};
use port_model::{ArtifactClass, ComponentKind, FileName, INITRD_FILE_NAME, Selector, Variant};

use crate::error::OpsError;
use crate::workspace::Workspace;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The artifact.
    pub artifact: &'a Artifact,
    /// The variant's configuration.
    pub config: &'a VariantConfig,
}

impl<'a> Target<'a> {
    /// Resolves a name and a selector; nothing falls back.
    pub fn resolve(workspace: &'a Workspace, artifact: &str, selector: Selector) -> Result<Self, OpsError> {
        let artifact = workspace.project.artifact(artifact)?;
        let config = artifact.variant(selector, workspace.host)?;
        Ok(Self { artifact, config })
    }

    /// As [`Target::resolve`], for a variant that is concrete already.
    pub fn exact(workspace: &'a Workspace, artifact: &str, variant: Variant) -> Result<Self, OpsError> {
        let selector = Selector {
            architecture: port_model::ArchitectureSelector::Exact(variant.architecture),
            substrate: variant.substrate,
            protection_mode: variant.protection_mode,
        };
        Self::resolve(workspace, artifact, selector)
    }

    /// Which variant.
    pub fn variant(&self) -> Variant {
        self.config.variant
    }

    /// The name under which the store and registries know it.
    pub fn name(&self) -> String {
        self.artifact.reference.variant_name(self.variant())
    }

    /// The role of the main component.
    pub fn main_kind(&self) -> ComponentKind {
        match self.artifact.class {
            ArtifactClass::Kernel => ComponentKind::Kernel,
            ArtifactClass::GuestImage => ComponentKind::Rootfs,
        }
    }

    /// The local path of a component: the configured one for the main component, a sibling for others.
    pub fn local_path(&self, kind: ComponentKind, name: &FileName) -> PathBuf {
        if kind == self.main_kind() {
            self.config.path.clone()
        } else {
            self.config.path.with_file_name(name.as_str())
        }
    }

    /// The local path of a guest image's initrd.
    pub fn initrd_path(&self) -> PathBuf {
        self.config.path.with_file_name(INITRD_FILE_NAME)
    }

    /// The cache path of a file (acceptance P-38).
    pub fn cache_path(&self, name: &FileName) -> PathBuf {
        let root = &self.artifact.distribution.cache_root;
        root.join(self.artifact.reference.variant_directory(self.variant())).join(name)
    }

    /// Refuses what `verb` cannot do on this host: another architecture, a research-only lane.
    pub fn check_native(&self, workspace: &Workspace, verb: &'static str) -> Result<(), OpsError> {
        let (artifact, variant) = (self.artifact.name.clone(), self.variant());
        if !variant.is_supported() {
            return Err(OpsError::ResearchOnly { verb, artifact, variant });
        }
        if variant.architecture != workspace.host {
            let host = workspace.host;
            return Err(OpsError::ForeignArchitecture { verb, artifact, variant, host });
        }
        Ok(())
    }
}
