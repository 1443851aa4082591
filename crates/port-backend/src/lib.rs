//! Where bundles are published and fetched from: one trait, one implementation per kind of place.
//!
//! ```text
//! ops ── push(Publication) ──► Backend ──► file-system:  <root>/<registry>/<repository>/<version>/<variant>/
//! ops ◄─ resolve, fetch ────── Backend ──► oci-registry: blobs, one manifest per variant under its tag, an index
//!                                      ──► hosted-api:   a control plane, file by file; what is no file, at its registry face
//! ```
//!
//! A backend moves files and documents. It knows neither layouts nor the store: what the documents mean is
//! for the caller, and so is how an index is merged.

mod backend;
mod error;
mod file_system;
mod hosted_api;
mod registry;
mod registry_face;
mod sidecar;

pub use backend::{
    Backend, Check, Document, Documents, Fetched, Found, FoundFile, MergeIndex, Publication, PublishedFile,
};
pub use error::{BackendError, ErrorKind, NothingPublished};
pub use file_system::FileSystem;
pub use hosted_api::{HostedAccess, HostedApi, Patience as HostedPatience};
pub use registry::{OciRegistry, Refusal, SelectVariant, Selected};
pub use registry_face::{RegistryFace, reference_at};
