//! Base images: a kernel and a root file system that boot together, ready as two paths.
//!
//! ```text
//! preset ─► resolve ─► plan ─► cached and sound? ─────────────────────────────► bundle (two paths, boot arguments)
//!  CI bucket, manifest          └─ no ─► fetch ─► store ─► bundle beside ─► swap ─┘ ─► prune
//! ```
//!
//! A bundle is a directory of the cache with `manifest.json` and the two files, which are views of blobs in the store beside
//! it, so that two bundles with one kernel hold it once (docs/base-images.md, docs/formats/base-images.md).
//!
//! What always holds: a bundle's directory is whole or not there; what is handed out has the recorded digests; a bundle that
//! somebody holds a [`Lease`] of is never taken away; every failure has one of the published codes
//! ([`BaseImageError::code`]).
//!
//! What is not here: the command line, registries (`port-ops` moves bundles there), and any clock or environment variable:
//! both are passed in with [`Options`].

mod artifact;
mod artifact_name;
mod boot_arguments;
mod bundle_id;
mod cache;
mod error;
mod hosted;
mod lease;
mod listing;
mod manager;
mod natural;
mod options;
mod owner;
mod plan;
mod prepare;
mod preset;
mod prune;
mod record;
mod release;
mod selection;
mod stored;

pub use boot_arguments::boot_arguments;
pub use bundle_id::{BundleId, BundleIdError};
pub use cache::{Flaw, list};
pub use error::{BaseImageError, Code, ManifestReadProblem, PrepareProblem, ResolveProblem, VersionProblem};
pub use hosted::{ManifestProblem, Origin};
pub use lease::Lease;
pub use manager::{BaseImageManager, Checked, Ensured, Outcome};
pub use options::{
    CacheUse, DEFAULT_BUCKET_URL, DEFAULT_RELEASES_URL, Network, Options, Request, Scrutiny, StoredLimit,
    default_cache_directory,
};
pub use preset::{Preset, RootfsType};
pub use record::{BaseImage, PerFile, Source};
pub use stored::{id_of_reference, name_in_store};
