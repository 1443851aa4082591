//! What can go wrong with packages.

use std::path::PathBuf;

use port_containerd::ContainerdError;
use port_content::FsError;
use port_content::verify::Mismatch;
use port_layout::DocumentError;
use port_layout::kraftkit::{EncodeError, KraftkitError, PackageConflict};
use port_model::Digest;
use port_registry::RegistryError;
use port_registry::credentials::BasicEnvError;
use port_store::StoreError;

use crate::copy::CopyError;
use crate::trust::TrustError;

/// A package that is not packed, found, moved or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A name or a document that is no package's.
    #[error(transparent)]
    Kraftkit(#[from] KraftkitError),
    /// A package that kraft could not read.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The strategy forbids it.
    #[error(transparent)]
    Conflict(#[from] PackageConflict),
    /// Something is wanted that nobody gave.
    #[error("the package `{reference}` needs {what}: expected {expected}, found nothing")]
    Missing {
        /// The package.
        reference: String,
        /// What.
        what: &'static str,
        /// What would do.
        expected: &'static str,
    },
    /// A line of a kernel configuration.
    #[error("`{}` line {line} is `{found}`: expected `CONFIG_NAME=value` or a comment", path.display())]
    Kconfig {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is there.
        found: String,
    },
    /// A file that cannot be a layer.
    #[error("`{}` cannot be a layer: expected {expected}, found {found}", path.display())]
    Layer {
        /// The file.
        path: PathBuf,
        /// What would do.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// No package of this name.
    #[error("there is no package `{reference}` in {place}")]
    NotFound {
        /// The package.
        reference: String,
        /// The store, or the registry.
        place: String,
    },
    /// Not exactly the targets that are needed.
    #[error("`{reference}`: expected {expected}, found {}", listed(found))]
    Targets {
        /// The package.
        reference: String,
        /// What was asked for.
        expected: String,
        /// What there is.
        found: Vec<String>,
    },
    /// A digest that the package's index does not have (acceptance K-59).
    #[error("the index of `{reference}` has no manifest {digest}")]
    NoManifest {
        /// The package.
        reference: String,
        /// The digest.
        digest: Digest,
    },
    /// The index names something that is not there.
    #[error("`{reference}` names {digest}, which is not in {place}")]
    Gone {
        /// The package.
        reference: String,
        /// What is missing.
        digest: Digest,
        /// The store, or the registry.
        place: String,
    },
    /// A document that is none.
    #[error("{subject} cannot be read")]
    Document {
        /// Which document.
        subject: String,
        /// What is wrong with it.
        #[source]
        source: DocumentError,
    },
    /// Bytes that are not the ones that were named.
    #[error("{subject} is not what it should be")]
    Mismatch {
        /// Which bytes.
        subject: String,
        /// Expected and found.
        #[source]
        source: Mismatch,
    },
    /// A name whose index is lost or damaged.
    #[error("the index of `{reference}` is not in {place} as it should be")]
    BrokenIndex {
        /// The package.
        reference: String,
        /// The store.
        place: String,
        /// What is wrong with it.
        #[source]
        source: Box<StoreError>,
    },
    /// A name that leads to what is no file.
    #[error("`{}` leads to no index: expected a link to a file", path.display())]
    NoIndex {
        /// Where the name is.
        path: PathBuf,
        /// What is there.
        #[source]
        source: FsError,
    },
    /// A manifest for another target than its index says.
    #[error("the manifest {digest} is for {found}: expected {expected} by the index of `{reference}`")]
    OtherTarget {
        /// The package.
        reference: String,
        /// The manifest.
        digest: Digest,
        /// By the index.
        expected: String,
        /// By its config.
        found: String,
    },
    /// A layer of a kind that is not read here.
    #[error("the layer {digest} is a `{found}`: expected {expected}")]
    LayerType {
        /// The layer.
        digest: Digest,
        /// What would do.
        expected: &'static str,
        /// Its media type.
        found: String,
    },
    /// An entry of a layer that could do harm (acceptance C-18).
    #[error(
        "the layer {layer} has the entry `{entry}`: expected a plain file below the directory, found {found}"
    )]
    Entry {
        /// The layer.
        layer: Digest,
        /// Its name, as it stands there.
        entry: String,
        /// What is wrong with it.
        found: String,
    },
    /// A layer that is no archive.
    #[error("the layer {layer} cannot be read as a tar archive")]
    Archive {
        /// The layer.
        layer: Digest,
        /// What the reader says.
        #[source]
        source: std::io::Error,
    },
    /// More than a package may have.
    #[error("the package `{reference}` cannot be unpacked: expected {expected}, found {found}")]
    Bounds {
        /// The package.
        reference: String,
        /// How much would do.
        expected: String,
        /// What there is.
        found: String,
    },
    /// A document with a digest that packages are not kept by.
    #[error("{subject} is named by {found}: expected sha256")]
    Algorithm {
        /// Which document.
        subject: String,
        /// By what.
        found: &'static str,
    },
    /// A compressed layer of which the config does not say what is in it.
    #[error(
        "the layer {layer} is gzip: expected the digest of its content in `rootfs.diff_ids`, found `{found}`"
    )]
    Content {
        /// The layer.
        layer: Digest,
        /// What is there.
        found: String,
    },
    /// A manifest that would lose something if it were written again.
    #[error(
        "the manifest {digest} of `{reference}` has what Port would lose: expected one in the form of Go's encoder"
    )]
    NotCanonical {
        /// The package.
        reference: String,
        /// The manifest.
        digest: Digest,
    },
    /// Two names that kraft's directory cannot tell apart (acceptance C-11).
    #[error("`{}` is the package `{found}`: expected none or `{expected}`, since kraft's directory has one place for both", path.display())]
    Taken {
        /// The place.
        path: PathBuf,
        /// Whose it was to become.
        expected: String,
        /// Whose it is.
        found: String,
    },
    /// A name of containerd, or of Port's store, that is somebody else's.
    #[error("the image `{name}` of {place} is no package: expected none, or {expected}, found {found}")]
    Foreign {
        /// Its name.
        name: String,
        /// Which store.
        place: String,
        /// What would do.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The same package twice.
    #[error("`{reference}` is both source and destination: expected two names")]
    Same {
        /// The name.
        reference: String,
    },
    /// The policies do not take it.
    #[error(transparent)]
    Trust(Box<TrustError>),
    /// A file.
    #[error(transparent)]
    Files(#[from] FsError),
    /// containerd.
    #[error(transparent)]
    Containerd(#[from] ContainerdError),
    /// Port's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Credentials from the environment.
    #[error(transparent)]
    Credentials(#[from] BasicEnvError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl PackageError {
    /// Whether a name was found that leads to no index that can be used.
    pub(super) fn is_of_index(&self) -> bool {
        matches!(
            self,
            Self::Document { .. } | Self::Mismatch { .. } | Self::BrokenIndex { .. } | Self::NoIndex { .. }
        )
    }

    /// Whether there is no such package.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl From<TrustError> for PackageError {
    fn from(error: TrustError) -> Self {
        match error {
            // A registry that cannot be asked is unreachable, never "not trusted".
            TrustError::Copy(CopyError::Registry(error)) => Self::Registry(*error),
            other => Self::Trust(Box::new(other)),
        }
    }
}

fn listed(found: &[String]) -> String {
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}
