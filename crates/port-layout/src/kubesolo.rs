//! The `kubesolo` layout: one update of KubeSolo OS, a kernel and an initramfs per architecture.
//!
//! A tag points at an index of per-architecture manifests, or at one manifest (acceptance O-2 … O-14). Reading
//! is lenient where the system's own agent is (a missing annotation is an empty field, unknown layers are
//! ignored) and strict where that agent is careless (C-33 … C-39). Blobs are not this module's business.

mod publish;
mod read;

pub use crate::oci::Blob;
pub use publish::{
    Extra, IndexPart, PublishError, encode, encode_index, encode_with, extend_index, single_tag,
};
pub use read::{Resolved, decode, resolve, select};

use port_model::{Architecture, Component, ComponentFormat, ComponentKind, FileName};

use crate::annotations as keys;
use crate::document::DocumentError;
use crate::oci::{Annotations, Descriptor};

/// The file that the kernel layer is staged as (acceptance O-33).
pub const KERNEL_NAME: &str = "vmlinuz";
/// The file that the initramfs layer is staged as (acceptance O-34).
pub const INITRAMFS_NAME: &str = "kubesolo-os.gz";

/// The file that Port's root file system layer is staged as.
pub const ROOT_NAME: &str = "rootfs.img";

/// What a release says of itself. A field that it does not say is empty (acceptance O-15).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `v0.3.0`.
    pub version: String,
    /// `stable`.
    pub channel: String,
    /// The oldest version that may update to this one.
    pub min_compatible_version: String,
    /// In Go's names.
    pub architecture: String,
    /// A few words for people.
    pub release_notes: String,
    /// RFC 3339.
    pub release_date: String,
}

impl Metadata {
    /// Reads the `io.kubesolo.os.*` annotations.
    pub fn from_annotations(annotations: &Annotations) -> Self {
        let get = |key: &str| annotations.get(key).cloned().unwrap_or_default();
        Self {
            version: get(keys::KUBESOLO_VERSION),
            channel: get(keys::KUBESOLO_CHANNEL),
            min_compatible_version: get(keys::KUBESOLO_MIN_COMPATIBLE_VERSION),
            architecture: get(keys::KUBESOLO_ARCHITECTURE),
            release_notes: get(keys::KUBESOLO_RELEASE_NOTES),
            release_date: get(keys::KUBESOLO_RELEASE_DATE),
        }
    }

    /// The annotations; empty fields have none.
    pub fn to_annotations(&self) -> Annotations {
        let fields = [
            (keys::KUBESOLO_VERSION, &self.version),
            (keys::KUBESOLO_CHANNEL, &self.channel),
            (keys::KUBESOLO_MIN_COMPATIBLE_VERSION, &self.min_compatible_version),
            (keys::KUBESOLO_ARCHITECTURE, &self.architecture),
            (keys::KUBESOLO_RELEASE_NOTES, &self.release_notes),
            (keys::KUBESOLO_RELEASE_DATE, &self.release_date),
        ];
        let said = fields.into_iter().filter(|(_, value)| !value.is_empty());
        said.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    }
}

/// One release for one architecture: what it says and which blobs it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// What it says of itself.
    pub metadata: Metadata,
    /// The architecture that it was taken for.
    pub architecture: Architecture,
    /// The kernel's blob; its size and digest are what the reader checks against.
    pub kernel: Descriptor,
    /// The initramfs's blob.
    pub initramfs: Descriptor,
    /// The root file system's blob, where Port published one.
    pub root_filesystem: Option<Descriptor>,
    /// Its block index.
    pub root_index: Option<Descriptor>,
    /// What the kernel is to be started with, where the publisher says it; empty where not.
    pub boot_arguments: String,
    /// Layers of other types (acceptance O-8), for the caller to say.
    pub ignored: Vec<Descriptor>,
}

impl Release {
    /// The two files as components, under the names that they are staged as.
    pub fn components(&self) -> Vec<Component> {
        let kernel_format = match self.architecture {
            Architecture::X86_64 => ComponentFormat::BzImage,
            Architecture::Aarch64 => ComponentFormat::Image,
        };
        let parts = [
            (ComponentKind::Kernel, kernel_format, KERNEL_NAME, &self.kernel),
            (ComponentKind::Initrd, ComponentFormat::CpioGz, INITRAMFS_NAME, &self.initramfs),
        ];
        let components = parts.into_iter().filter_map(|(kind, format, name, blob)| {
            // Both names are constants of plain letters.
            let file_name: FileName = name.parse().ok()?;
            Some(Component { kind, format, file_name, size: blob.size, digest: blob.digest.clone() })
        });
        components.collect()
    }
}

/// Why a document is not a usable release. A registry that does not answer is never one of these (O-31).
#[derive(Debug, thiserror::Error)]
pub enum KubesoloError {
    /// There is nothing for this architecture (acceptance O-25, O-31, C-33).
    #[error("`{tag}` has no manifest for the architecture `{wanted}`\n  found: {}", words(available))]
    NoSuchArchitecture {
        /// The tag.
        tag: String,
        /// Go's name of the architecture that was asked for.
        wanted: &'static str,
        /// What the entries say, `os/architecture` or `unnamed`.
        available: Vec<String>,
    },
    /// What was found is for another architecture than it should be (acceptance O-27, C-35).
    #[error("`{tag}` is for the architecture `{found}`: expected `{expected}`")]
    ArchitectureDiffers {
        /// The tag.
        tag: String,
        /// Go's name of the architecture that was asked for.
        expected: &'static str,
        /// What the annotation says.
        found: String,
    },
    /// The document is of another type than the layout knows (acceptance O-29).
    #[error("`{tag}` is a `{found}`: expected an OCI or Docker {expected}")]
    MediaType {
        /// The tag.
        tag: String,
        /// What would do.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The document cannot be read.
    #[error("`{tag}` cannot be read as an update")]
    Document {
        /// The tag.
        tag: String,
        /// What is wrong with it.
        #[source]
        source: DocumentError,
    },
    /// There is no layer of a type that must be there (acceptance O-35, O-36).
    #[error("`{tag}` has no layer of the type `{media_type}`: expected one")]
    NoLayer {
        /// The tag.
        tag: String,
        /// The type that is missing.
        media_type: &'static str,
    },
    /// There are several layers of one type; which is meant nobody can say (acceptance C-37).
    #[error("`{tag}` has {found} layers of the type `{media_type}`: expected one")]
    DuplicateLayers {
        /// The tag.
        tag: String,
        /// The type.
        media_type: &'static str,
        /// How many.
        found: usize,
    },
    /// A layer of no bytes can boot nothing.
    #[error("`{tag}` has an empty layer of the type `{media_type}`: expected at least one byte")]
    EmptyLayer {
        /// The tag.
        tag: String,
        /// The type.
        media_type: &'static str,
    },
}

fn words(available: &[String]) -> String {
    if available.is_empty() { "none".to_owned() } else { available.join(", ") }
}

#[cfg(test)]
mod tests;
