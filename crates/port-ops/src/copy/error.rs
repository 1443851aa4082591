//! What a copy can fail with. Whatever it is: the destination's tag is what it was.

use std::path::PathBuf;

use port_content::FsError;
use port_content::verify::Mismatch;
use port_model::Digest;

/// A copy, or a look at what could be copied, that failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A text that names no place.
    #[error("`{text}` is no place: {reason}")]
    Place {
        /// As written.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A registry failed.
    #[error(transparent)]
    Registry(Box<port_registry::RegistryError>),
    /// A store that this version does not write.
    #[error(transparent)]
    Store(#[from] port_store::StoreError),
    /// A file of a layout directory.
    #[error(transparent)]
    Files(#[from] FsError),
    /// A directory that is no image layout.
    #[error("`{}` cannot be used as an OCI image layout: {reason}", path.display())]
    NoLayout {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A name or a digest that is not there.
    #[error("there is no `{name}` in `{place}`")]
    NotFound {
        /// What was looked for.
        name: String,
        /// Where.
        place: String,
    },
    /// Bytes that are not the ones that were named.
    #[error("what `{place}` holds as {digest} is something else")]
    Mismatch {
        /// Where.
        place: String,
        /// What they were named.
        digest: Digest,
        /// What they are.
        #[source]
        source: Box<Mismatch>,
    },
    /// A manifest or index that cannot be read.
    #[error("{digest} in `{place}` cannot be read")]
    Document {
        /// Where.
        place: String,
        /// Which.
        digest: Digest,
        /// Why.
        #[source]
        source: Box<port_layout::DocumentError>,
    },
    /// What is to be copied contradicts itself or has no end.
    #[error("refused to copy from `{place}`: {reason}")]
    Refused {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// The selection is not exactly one variant.
    #[error("`{place}` has not exactly one variant that was asked for: {reason}")]
    Selection {
        /// Where.
        place: String,
        /// What is there.
        reason: String,
    },
}

impl From<port_registry::RegistryError> for CopyError {
    fn from(error: port_registry::RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}
