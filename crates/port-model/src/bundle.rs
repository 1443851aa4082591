//! The components that travel together as one variant of an artifact, with what booting them needs.

use serde::{Deserialize, Serialize};

use crate::cmdline::Cmdline;
use crate::component::{ArtifactClass, Component, ComponentKind};
use crate::variant::Variant;

/// What Port knows of a kernel, recorded when it is built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelFacts {
    /// The release as `uname -r` prints it. Modules load only into exactly this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Modules that a guest needs to find its disk and its host, in load order; empty where all are built in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
}

/// One variant of an artifact: a main component and its companions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Kernel or guest image.
    pub class: ArtifactClass,
    /// Which variant.
    pub variant: Variant,
    /// The main component first, companions after it, in a fixed order.
    pub components: Vec<Component>,
    /// For a kernel: what it is. For a guest image: the kernel that its initrd's modules fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelFacts>,
    /// Boot arguments that this bundle asks for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_arguments: Option<Cmdline>,
    /// Where the main component came from, in words a person can follow (a pin, a package and version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
}

impl Bundle {
    /// The component that the artifact is named for: the kernel, or the root file system.
    pub fn main(&self) -> Option<&Component> {
        self.component(self.class.main_kind())
    }

    /// The component with this role.
    pub fn component(&self, kind: ComponentKind) -> Option<&Component> {
        self.components.iter().find(|component| component.kind == kind)
    }

    /// Sum of the raw sizes, in bytes.
    pub fn size(&self) -> u64 {
        self.components.iter().map(|component| component.size).fold(0, u64::saturating_add)
    }
}
