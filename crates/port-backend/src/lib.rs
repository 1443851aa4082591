//! Where bundles are published and fetched from: one trait, one implementation per kind of place.
//!
//! ```text
//! ops ── push(Publication) ──► Backend ──► file-system: <root>/<registry>/<repository>/<version>/<variant>/
//! ops ◄─ resolve, fetch ────── Backend
//! ```
//!
//! A backend moves files and documents. It knows neither layouts nor the store: what the documents mean is
//! for the caller, and so is checking digests: [`Backend::fetch`] only brings bytes.
//!
//! `file-system` is the only backend so far; the caller refuses others that a configuration names.

mod backend;
mod error;
mod file_system;
mod sidecar;

pub use backend::{Backend, Documents, Found, FoundFile, Publication, PublishedFile};
pub use error::{BackendError, ErrorKind};
pub use file_system::FileSystem;
