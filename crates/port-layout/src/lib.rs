//! How a bundle becomes OCI documents and back. Pure: documents in, documents out, no I/O.
//!
//! ```text
//! Bundle ── native::encode ──► config blob + manifest      (layers are the components' raw files)
//!                                 │
//! Bundle ◄── native::decode ──────┘        index: one entry per variant, merged purely
//! ```
//!
//! A layout never drops a field silently: what it cannot hold or does not know is an error. Digests are
//! always taken over the exact bytes; a parsed document is never serialised again to be named.

pub mod annotations;
pub mod index;
pub mod media_types;
pub mod native;
pub mod oci;

pub use native::{DecodeError, Encoded};
pub use oci::{Descriptor, Index, Manifest, Platform};
