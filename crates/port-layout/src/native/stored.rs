//! How components are stored, and what is wrong with layers that do not say so.

use port_model::{ArtifactClass, Component, ComponentKind, Digest, Encoding, FileName};

use crate::oci::{Blob, Descriptor};

/// The most layers of a manifest: as many packs are beyond what a registry or a client should be asked for.
pub const MOST_LAYERS: usize = 1000;
/// The largest pack, in bytes: small enough to fetch anew, and to stay whole under any registry's limit.
pub const LARGEST_PACK: u64 = 64 * 1024 * 1024;
/// The largest map, in bytes: it is read into memory whole. As many as the map format itself allows.
pub const LARGEST_MAP: u64 = 17 * 1024 * 1024;

/// How one component is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The blob is the component's file.
    Raw,
    /// The blob is the component's file, compressed as a whole.
    Zstd(Blob),
    /// A map and the packs that it cuts the file from.
    Packed {
        /// Which block comes from where.
        map: Blob,
        /// In the order of the map; none where every block is zero.
        packs: Vec<Blob>,
    },
}

impl Stored {
    /// The word for it.
    pub fn encoding(&self) -> Encoding {
        match self {
            Self::Raw => Encoding::Raw,
            Self::Zstd(_) => Encoding::Zstd,
            Self::Packed { .. } => Encoding::Packed,
        }
    }

    /// The blobs that are published for `component`, in the order of its layers.
    pub fn blobs(&self, component: &Component) -> Vec<Blob> {
        match self {
            Self::Raw => vec![Blob { digest: component.digest.clone(), size: component.size }],
            Self::Zstd(blob) => vec![blob.clone()],
            Self::Packed { map, packs } => [map].into_iter().chain(packs).cloned().collect(),
        }
    }
}

/// Components and layers that do not pair up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayersError {
    /// The component that the artifact is named for is not there.
    #[error("a {class} has no main component")]
    NoMain {
        /// What the bundle is.
        class: ArtifactClass,
    },
    /// Components that cannot be told apart.
    #[error("two components share a role or a file name")]
    Shared,
    /// Layers that plain tools would write to one file.
    #[error("two layers are titled `{title}`")]
    SharedTitle {
        /// The title.
        title: String,
    },
    /// The caller named more or fewer stored forms than components.
    #[error("{components} components, {stored} ways in which they are stored")]
    Stored {
        /// How many components.
        components: usize,
        /// How many stored forms.
        stored: usize,
    },
    /// More than a manifest may have.
    #[error("{found} layers: at most {MOST_LAYERS} are written and read")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// The layers end before the components.
    #[error("`{file_name}` has no layer")]
    Missing {
        /// The component's.
        file_name: FileName,
    },
    /// The components end before the layers.
    #[error("{count} more layers than the components need, the first is a `{media_type}`")]
    LeftOver {
        /// How many.
        count: usize,
        /// Of the first.
        media_type: String,
    },
    /// A first layer that is none of the encodings'.
    #[error("`{file_name}` begins with a `{found}`: expected `{expected}`, the same with `+zstd`, or a map")]
    MediaType {
        /// The component's.
        file_name: FileName,
        /// The raw layer's.
        expected: &'static str,
        /// The layer's.
        found: String,
    },
    /// A pack without a map in front of it.
    #[error("`{file_name}` begins with a pack: expected its map first")]
    PackFirst {
        /// The component's.
        file_name: FileName,
    },
    /// An encoding that components of this role have not.
    #[error("`{file_name}` is {found}: a component of the role {kind} is always raw")]
    Encoding {
        /// The component's.
        file_name: FileName,
        /// Its role.
        kind: ComponentKind,
        /// How it is stored.
        found: Encoding,
    },
    /// A layer that does not say what it must.
    #[error(
        "`{file_name}` should be {} bytes {}, the layer is `{}` of {} bytes {}",
        expected.size, expected.digest, found.title().unwrap_or("without a title"), found.size, found.digest
    )]
    Differs {
        /// The component's.
        file_name: FileName,
        /// What it should be.
        expected: Box<Descriptor>,
        /// What it is.
        found: Box<Descriptor>,
    },
    /// An empty or unbounded blob.
    #[error("the {what} {digest} of `{file_name}` has {found} bytes: expected 1 to {most}")]
    Size {
        /// Map, pack or compressed file.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// The component's.
        file_name: FileName,
        /// The most that it may have.
        most: u64,
        /// What it has.
        found: u64,
    },
    /// A map or pack that the map format has no way to name.
    #[error("the {what} {digest} of `{file_name}` is named by {}: expected sha256", digest.algorithm().as_str())]
    Algorithm {
        /// Map or pack.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// The component's.
        file_name: FileName,
    },
    /// One blob in two places of one component.
    #[error("the blob {digest} stands twice among the layers of `{file_name}`")]
    Twice {
        /// Its digest.
        digest: Digest,
        /// The component's.
        file_name: FileName,
    },
}
