//! What can go wrong, each with its published code (acceptance S-9).

use std::fmt;
use std::path::PathBuf;

use port_content::FsError;
use port_model::{Architecture, Digest};
use port_store::StoreError;
use port_transport::{Failure, TransportError};

use crate::hosted::{ManifestProblem, Origin};

/// The published codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// `INVALID_BASE_IMAGE_CACHE_LIMIT`
    InvalidCacheLimit,
    /// `BASE_IMAGE_PREPARE_FAILED`
    PrepareFailed,
    /// `BASE_IMAGE_MANIFEST_FAILED`
    ManifestFailed,
    /// `INVALID_BASE_IMAGE_MANIFEST`
    InvalidManifest,
    /// `VERSION_FETCH_FAILED`
    VersionFetchFailed,
    /// `BASE_IMAGE_RESOLVE_FAILED`
    ResolveFailed,
}

impl Code {
    /// The code as it is published.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidCacheLimit => "INVALID_BASE_IMAGE_CACHE_LIMIT",
            Self::PrepareFailed => "BASE_IMAGE_PREPARE_FAILED",
            Self::ManifestFailed => "BASE_IMAGE_MANIFEST_FAILED",
            Self::InvalidManifest => "INVALID_BASE_IMAGE_MANIFEST",
            Self::VersionFetchFailed => "VERSION_FETCH_FAILED",
            Self::ResolveFailed => "BASE_IMAGE_RESOLVE_FAILED",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum BaseImageError {
    /// The maximum of stored bundles is no integer, or below 1.
    #[error("the maximum of stored base images is `{found}`: expected an integer of 1 or more")]
    CacheLimit {
        /// What was given.
        found: String,
    },
    /// The cache itself cannot be used.
    #[error("the cache of base images at `{}` cannot be used", directory.display())]
    Cache {
        /// Which cache.
        directory: PathBuf,
        /// Why.
        #[source]
        problem: PrepareProblem,
    },
    /// A bundle could not be made ready.
    #[error("base image `{bundle_id}` cannot be prepared")]
    Prepare {
        /// Which bundle.
        bundle_id: String,
        /// Why.
        #[source]
        problem: PrepareProblem,
    },
    /// A hosted manifest could not be had.
    #[error("the base image manifest cannot be read{}", origin.as_ref().map(|origin| format!(": {origin}")).unwrap_or_default())]
    Manifest {
        /// Which, where one was named.
        origin: Option<Origin>,
        /// Why.
        #[source]
        problem: ManifestReadProblem,
    },
    /// A hosted manifest says something that it may not.
    #[error("the base image manifest is not valid: {origin}")]
    InvalidManifest {
        /// Which.
        origin: Origin,
        /// What is wrong.
        #[source]
        problem: ManifestProblem,
    },
    /// The newest release could not be found out.
    #[error("the newest Firecracker release cannot be found out from `{url}`")]
    VersionFetch {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        problem: VersionProblem,
    },
    /// The CI bucket gave no pair.
    #[error("no base image of the CI line {line} for {architecture} can be found")]
    Resolve {
        /// Which line.
        line: String,
        /// For which architecture.
        architecture: Architecture,
        /// Why.
        #[source]
        problem: ResolveProblem,
    },
    /// Without the network nothing serves.
    #[error("no cached base image serves the preset `{preset}` for {architecture} without the network")]
    NothingCached {
        /// Which preset.
        preset: String,
        /// For which architecture.
        architecture: Architecture,
    },
}

impl BaseImageError {
    /// The published code.
    pub fn code(&self) -> Code {
        match self {
            Self::CacheLimit { .. } => Code::InvalidCacheLimit,
            Self::Cache { .. } | Self::Prepare { .. } => Code::PrepareFailed,
            Self::Manifest { .. } => Code::ManifestFailed,
            Self::InvalidManifest { .. } => Code::InvalidManifest,
            Self::VersionFetch { .. } => Code::VersionFetchFailed,
            Self::Resolve { .. } | Self::NothingCached { .. } => Code::ResolveFailed,
        }
    }

    /// Whether nobody answered, so that what is cached may serve. A refusal, or wrong bytes, is an answer.
    pub fn is_unreachable(&self) -> bool {
        let transport = match self {
            Self::Prepare { problem: PrepareProblem::Fetch { source, .. }, .. }
            | Self::Manifest { problem: ManifestReadProblem::Fetch(source), .. }
            | Self::VersionFetch { problem: VersionProblem::Fetch(source), .. }
            | Self::Resolve { problem: ResolveProblem::Fetch(source), .. } => source,
            _ => return false,
        };
        matches!(transport.failure, Failure::Unreachable { .. } | Failure::NoClient { .. })
    }
}

/// Why a bundle could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareProblem {
    /// A download failed.
    #[error("the {label} cannot be fetched")]
    Fetch {
        /// `kernel` or `rootfs`.
        label: &'static str,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// The size is another than the one that was named.
    #[error("the {label} has another size: expected {expected} bytes, found {found}")]
    Size {
        /// `kernel` or `rootfs`.
        label: &'static str,
        /// What was named.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// The digest is another than the one that was named.
    #[error("the {label} has another SHA-256: expected {}, found {}", expected.hex(), found.hex())]
    Digest {
        /// `kernel` or `rootfs`.
        label: &'static str,
        /// What was named.
        expected: Digest,
        /// What there is.
        found: Digest,
    },
    /// A file would lie outside its bundle.
    #[error("the {label} would be outside the bundle: `{name}`")]
    Outside {
        /// `kernel` or `rootfs`.
        label: &'static str,
        /// The name that leads out.
        name: String,
    },
    /// A download is needed and the network is not to be used.
    #[error("the {label} is not here, and without the network it cannot be fetched: `{url}`")]
    Offline {
        /// `kernel` or `rootfs`.
        label: &'static str,
        /// Where it is.
        url: String,
    },
    /// What was there a moment ago is gone.
    #[error("the {label} is gone from the store")]
    Lost {
        /// `kernel`, `rootfs`, or `bundle`.
        label: &'static str,
    },
    /// Somebody else made the cache, where everybody may make things.
    #[error("`{}` belongs to user {owner}: expected user {user} or root, since whoever owns it decides what is booted from it", path.display())]
    Foreign {
        /// Which directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system refused.
    #[error(transparent)]
    Files(#[from] FsError),
    /// The manifest of the bundle cannot be written down.
    #[error("the bundle's manifest cannot be written down")]
    Record(#[source] serde_json::Error),
    /// What worked on it broke off.
    #[error("the work on it broke off")]
    Broken(#[source] tokio::task::JoinError),
}

/// Why a hosted manifest could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ManifestReadProblem {
    /// Nobody said where it is.
    #[error("expected the URL or the path of a manifest, found neither")]
    NoPlace,
    /// The file refused.
    #[error(transparent)]
    Files(#[from] FsError),
    /// The URL refused.
    #[error(transparent)]
    Fetch(#[from] TransportError),
    /// What a registry gave is no base image.
    #[error("it is no base image: it has not {lacks}")]
    NoBaseImage {
        /// What is missing.
        lacks: &'static str,
    },
    /// The store refused.
    #[error(transparent)]
    Store(Box<PrepareProblem>),
    /// It is no UTF-8 text.
    #[error("expected UTF-8 text")]
    Text(#[from] std::string::FromUtf8Error),
    /// It is no JSON.
    #[error("expected a JSON document")]
    Json(#[from] serde_json::Error),
}

/// Why the newest release could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum VersionProblem {
    /// The request failed.
    #[error(transparent)]
    Fetch(#[from] TransportError),
    /// It led somewhere else.
    #[error("expected an address that ends in `/releases/tag/vX.Y.Z`, found `{found}`")]
    Address {
        /// Where it led.
        found: String,
    },
}

/// Why the CI bucket gave no pair.
#[derive(Debug, thiserror::Error)]
pub enum ResolveProblem {
    /// A page of the listing could not be had.
    #[error(transparent)]
    Fetch(#[from] TransportError),
    /// A page is no text.
    #[error("the listing is no UTF-8 text")]
    Text(#[source] std::string::FromUtf8Error),
    /// Nothing is listed.
    #[error("nothing is listed below `{prefix}`")]
    NoKeys {
        /// Below what.
        prefix: String,
    },
    /// The listing goes on and does not say where, or where it was already.
    #[error("the listing does not come to an end after {pages} pages and {keys} keys")]
    Endless {
        /// How many pages were read.
        pages: usize,
        /// How many keys they had.
        keys: usize,
    },
    /// No key is a kernel.
    #[error("none of {keys} keys is a kernel: expected one that ends in `/vmlinux-X.Y.Z`")]
    NoKernel {
        /// How many keys there are.
        keys: usize,
    },
    /// No key is a root.
    #[error(
        "none of {keys} keys is a root: expected one that ends in `/ubuntu-….squashfs` or `/ubuntu-….ext4`"
    )]
    NoRootfs {
        /// How many keys there are.
        keys: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_9_every_failure_has_its_published_code() {
        let directory = PathBuf::from("cache");
        let origin = || Origin::Path(PathBuf::from("m.json"));
        let (line, architecture) = ("v1.15".to_owned(), Architecture::X86_64);
        let address = || VersionProblem::Address { found: "x".to_owned() };
        let outside = || PrepareProblem::Outside { label: "kernel", name: "../x".to_owned() };
        for (error, code) in [
            (BaseImageError::CacheLimit { found: "0".to_owned() }, "INVALID_BASE_IMAGE_CACHE_LIMIT"),
            (BaseImageError::Cache { directory, problem: outside() }, "BASE_IMAGE_PREPARE_FAILED"),
            (
                BaseImageError::Prepare { bundle_id: "a".to_owned(), problem: outside() },
                "BASE_IMAGE_PREPARE_FAILED",
            ),
            (
                BaseImageError::Manifest { origin: None, problem: ManifestReadProblem::NoPlace },
                "BASE_IMAGE_MANIFEST_FAILED",
            ),
            (
                BaseImageError::InvalidManifest {
                    origin: origin(),
                    problem: ManifestProblem::new("arch", "x"),
                },
                "INVALID_BASE_IMAGE_MANIFEST",
            ),
            (
                BaseImageError::VersionFetch { url: "u".to_owned(), problem: address() },
                "VERSION_FETCH_FAILED",
            ),
            (
                BaseImageError::Resolve { line, architecture, problem: ResolveProblem::NoKernel { keys: 3 } },
                "BASE_IMAGE_RESOLVE_FAILED",
            ),
            (
                BaseImageError::NothingCached { preset: "lts".to_owned(), architecture },
                "BASE_IMAGE_RESOLVE_FAILED",
            ),
        ] {
            assert_eq!(error.code().to_string(), code, "{error}");
            assert!(!error.is_unreachable());
        }
    }
}
