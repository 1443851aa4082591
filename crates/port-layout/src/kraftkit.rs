//! The `kraftkit` layout: a unikernel as an OCI image that `kraft` reads (acceptance K-1 … K-46, Ku-1 … Ku-16).
//!
//! A package is one manifest and the index that presents it. Everything is written as Go's encoder would write
//! it, since kraft encodes documents again and names them by the result (Ku-15). Layers are described, not made.
//!
//! ```text
//! Package ── encode ──► config + manifest + index entry ── index::merge ──► index
//!    ▲                        │                                  │
//!    └─────── decode ◄────────┘              discover ◄──────────┘
//! ```
//!
//! Where the documents of KraftKit are known to be wrong, this follows the settled resolutions C-8 … C-19.

mod config;
mod decode;
mod encode;
mod index;
mod name;
mod platform;
mod sizes;

pub use config::{History, ImageConfig, Nothing, RootFs, Runtime, merge_environment};
pub use decode::{Decoded, decode};
pub use encode::{Documents, EncodeError, encode};
pub use index::{Found, Merged, PackageConflict, Query, discover, is_listed, matches, merge};
pub use name::parse_name;
pub use platform::{
    architecture_name, checksum, features, kconfig, kernel_version, normalized, platform_name, sort_features,
    substrate_name,
};
pub use sizes::{known_size, with_sizes};

use port_model::{Digest, DigestError, Reference};

use crate::annotations::{UNIKRAFT_INITRD, UNIKRAFT_KERNEL};
use crate::document::DocumentError;
use crate::json::JsonError;
use crate::media_types::OCI_LAYER_TAR;
use crate::oci::Descriptor;

/// The name of a package's configuration file (acceptance K-1).
pub const CONFIG_NAME: &str = "config.json";
/// The registry of names without one (acceptance Ku-1).
pub const DEFAULT_REGISTRY: &str = "unikraft.org";
/// The tag of names without one (acceptance Ku-1).
pub const DEFAULT_TAG: &str = "latest";
/// Where a package's kernel lies (acceptance Ku-2); in a layer's tar without the leading slash (Ku-5).
pub const KERNEL_PATH: &str = "/unikraft/bin/kernel";
/// Where a package's kernel with debug information lies.
pub const KERNEL_DBG_PATH: &str = "/unikraft/bin/kernel.dbg";
/// Where a package's initrd lies.
pub const INITRD_PATH: &str = "/unikraft/bin/initrd";

/// A package as Port knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `registry/repository:tag`.
    pub reference: Reference,
    /// The value of the marker without which kraft ignores a package (acceptance Ku-11); free, but not empty.
    pub packer_version: String,
    /// RFC 3339 in UTC. Nothing carries a clock unless the caller gives one.
    pub created: Option<String>,
    /// What it is and how it starts; `os.features` are sorted when it is written.
    pub config: ImageConfig,
    /// Kernel, debug kernel, initrd (acceptance K-19), or the adopted layers of an original (K-15).
    pub layers: Vec<Descriptor>,
}

impl Package {
    /// The layer that holds the kernel: the one whose annotation names its path.
    pub fn kernel(&self) -> Option<&Descriptor> {
        self.layers.iter().find(|layer| layer.annotations.contains_key(UNIKRAFT_KERNEL))
    }

    /// The layer that holds the initrd.
    pub fn initrd(&self) -> Option<&Descriptor> {
        self.layers.iter().find(|layer| layer.annotations.contains_key(UNIKRAFT_INITRD))
    }

    /// `registry/repository`, the package's name (acceptance K-23, K-63).
    pub fn name(&self) -> String {
        format!("{}/{}", self.reference.registry(), self.reference.repository())
    }

    /// A package of another name from this one: a copy, so that the original stays as it is (C-16).
    pub fn renamed(&self, reference: Reference) -> Self {
        Self { reference, ..self.clone() }
    }
}

/// What a tar layer of a package holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerRole {
    /// The kernel, annotated with its path (acceptance K-13, K-14).
    Kernel,
    /// The kernel with debug information, without annotation (K-16).
    KernelDbg,
    /// The initrd, annotated with its path (K-17, K-18).
    Initrd,
}

impl LayerRole {
    /// The well-known path of the file.
    pub fn path(self) -> &'static str {
        match self {
            Self::Kernel => KERNEL_PATH,
            Self::KernelDbg => KERNEL_DBG_PATH,
            Self::Initrd => INITRD_PATH,
        }
    }

    /// The descriptor of an uncompressed tar layer with this file (acceptance Ku-4, Ku-6).
    pub fn descriptor(self, digest: Digest, size: u64) -> Descriptor {
        let mut descriptor = Descriptor::new(OCI_LAYER_TAR, digest, size);
        let key = match self {
            Self::Kernel => UNIKRAFT_KERNEL,
            Self::Initrd => UNIKRAFT_INITRD,
            Self::KernelDbg => return descriptor,
        };
        descriptor.annotations.insert(key.to_owned(), self.path().to_owned());
        descriptor
    }
}

/// Documents or words that are not a package's.
#[derive(Debug, thiserror::Error)]
pub enum KraftkitError {
    /// Packing without a name (acceptance K-5).
    #[error("a package needs a name: expected `[registry/]repository[:tag]`, found nothing")]
    NoName,
    /// A name that is no reference (acceptance K-6).
    #[error("`{name}` is not a package name")]
    Name {
        /// As given.
        name: String,
        /// What is wrong with it.
        #[source]
        source: port_model::ReferenceError,
    },
    /// The digest of a name is none.
    #[error("`{name}` is not a package name")]
    NameDigest {
        /// As given.
        name: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
    /// No manifest.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// No config.
    #[error(transparent)]
    Config(#[from] JsonError),
    /// A document that says something else than the layout, or than the other document.
    #[error("the package's {field} is `{found}`: expected {expected}")]
    Field {
        /// Which field.
        field: String,
        /// What would do.
        expected: String,
        /// What it is.
        found: String,
    },
}

#[cfg(test)]
mod tests;
