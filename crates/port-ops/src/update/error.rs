//! What can go wrong while a release is published or fetched.

use port_content::FsError;
use port_layout::kubesolo::{KubesoloError, PublishError};
use port_model::{Digest, ReferenceError};
use port_packed::PackedError;
use port_registry::RegistryError;
use port_transport::TransportError;
use port_update::latest::LatestError;

use crate::copy::CopyError;

/// A release that is not published, or not fetched.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A field of the release that cannot be used.
    #[error("the release's {field} is `{found}`: expected {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What would do.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The release cannot be written as documents.
    #[error(transparent)]
    Release(#[from] PublishError),
    /// The name of the place or of a tag.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// The kernel or the initramfs.
    #[error(transparent)]
    Files(#[from] FsError),
    /// Something else is published under this tag.
    #[error("`{tag}` is published already: expected {expected}, found {found}")]
    Taken {
        /// Which tag.
        tag: String,
        /// What was to be published.
        expected: Digest,
        /// What is there.
        found: Digest,
    },
    /// Nothing is published under a tag.
    #[error("`{repository}` has nothing under the tag `{tag}`")]
    NoSuchTag {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// An index names a manifest that is not there.
    #[error("the index `{tag}` names the manifest {digest}, which is not there")]
    Gone {
        /// The tag.
        tag: String,
        /// The manifest.
        digest: Digest,
    },
    /// An index says another size of a manifest than it has.
    #[error("the manifest {digest} has {found} bytes: expected {expected} by the index `{tag}`")]
    Size {
        /// The tag.
        tag: String,
        /// The manifest.
        digest: Digest,
        /// By the index.
        expected: u64,
        /// As it came.
        found: u64,
    },
    /// There is no manifest to put into the index.
    #[error("nothing is published for the index: expected one of {}, found none", tags.join(", "))]
    NothingPublished {
        /// The tags that were looked for.
        tags: Vec<String>,
    },
    /// A manifest of another release than its tag says.
    #[error("`{tag}` has the {field} `{found}`: expected `{expected}`")]
    Differs {
        /// Which tag.
        tag: String,
        /// Which field.
        field: &'static str,
        /// What the index is for.
        expected: String,
        /// What the manifest says.
        found: String,
    },
    /// The channel has a newer release.
    #[error("`{channel}` is at the newer release `{found}`: expected at most `{expected}`")]
    ChannelBack {
        /// The channel.
        channel: String,
        /// The release that it was to be moved to.
        expected: String,
        /// The release that it is at.
        found: String,
    },
    /// What is published is no release.
    #[error(transparent)]
    Documents(#[from] KubesoloError),
    /// Others move the tag without end.
    #[error("`{tag}` was not moved: expected the index to stay for a moment, found it changed {times} times")]
    Restless {
        /// Which tag.
        tag: String,
        /// How often.
        times: u32,
    },
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The blocks of a root file system.
    #[error(transparent)]
    Blocks(#[from] PackedError),
    /// A medium.
    #[error(transparent)]
    Media(Box<CopyError>),
    /// A web server.
    #[error(transparent)]
    Web(#[from] TransportError),
    /// What a web server says.
    #[error(transparent)]
    Latest(#[from] LatestError),
}

impl UpdateError {
    /// Whether there is a release, and it is not for the machine that was asked about.
    pub(super) fn is_for_others(&self) -> bool {
        use KubesoloError as K;
        matches!(self, Self::Documents(K::NoSuchArchitecture { .. } | K::ArchitectureDiffers { .. }))
    }
}

impl From<CopyError> for UpdateError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Registry(error) => Self::Registry(*error),
            CopyError::Files(error) => Self::Files(error),
            other => Self::Media(Box::new(other)),
        }
    }
}
