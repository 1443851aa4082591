//! An artifact of `port.toml`: a kernel or a guest image, its variants and where it is published.
//!
//! Values as written, apart from `native`, which is concrete here. Paths are not resolved: they are
//! relative to the directory the command runs in (acceptance P-30).

use std::path::PathBuf;

use port_model::{
    Architecture, ArtifactClass, ComponentKind, Encoding, FileName, NoSuchVariant, Reference, Selector,
    Variant,
};

use crate::distribution::Distribution;
use crate::recipe::Recipe;
use crate::source::KernelSource;

/// One entry of `artifacts.kernels` or `artifacts.guest_images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The key in the file; unique over both classes (acceptance P-25).
    pub name: String,
    /// Kernel or guest image.
    pub class: ArtifactClass,
    /// The logical name under which it is published.
    pub reference: Reference,
    /// A description of how it is built, kept from published files; never run.
    pub build: Option<String>,
    /// A description of how it is validated, kept from published files; never run.
    pub validate: Option<String>,
    /// Where push publishes, pull fetches, and copies are kept.
    pub distribution: Distribution,
    /// The variants, in the order of the file; no two with the same selector.
    pub variants: Vec<VariantConfig>,
}

/// One entry of `variants`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantConfig {
    /// Which variant; `native` was resolved to the host's architecture.
    pub variant: Variant,
    /// The canonical local path, as written.
    pub path: PathBuf,
    /// The base name of `path`, under which it is stored and published.
    pub file_name: FileName,
    /// Kernels: where the kernel may come from, tried in order; empty where it cannot be built.
    pub sources: Vec<KernelSource>,
    /// Guest images: how to build it; the variant's own recipe, else the artifact's.
    pub recipe: Option<Recipe>,
}

impl Artifact {
    /// How push publishes the component with this role: the file speaks of the main one, companions are raw.
    pub fn encoding(&self, kind: ComponentKind) -> Encoding {
        if kind == self.class.main_kind() { self.distribution.encoding } else { Encoding::Raw }
    }

    /// The one variant that `selector` asks for on a host of architecture `host`.
    ///
    /// # Errors
    /// [`NoSuchVariant`], listing the variants that exist: nothing falls back (acceptance P-82).
    pub fn variant(&self, selector: Selector, host: Architecture) -> Result<&VariantConfig, NoSuchVariant> {
        let items = self.variants.iter().map(|config| (config.variant, config));
        selector.select(host, &self.name, items).map(|(_, config)| config)
    }
}
