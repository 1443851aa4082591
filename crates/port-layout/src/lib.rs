//! How a bundle becomes OCI documents and back. Pure: documents in, documents out, no I/O.
//!
//! ```text
//! Bundle ── native::encode ──► config blob + manifest      (layers are the components' files, or their maps and packs)
//!                                 │
//! Bundle ◄── native::decode ──────┘        index: one entry per variant, merged purely
//!
//! bytes ─► json (bounded, no key twice) ─► document (manifest or index) ─► detect ─► one of the layouts:
//!          native · port_v1 · kubesolo · kraftkit
//! ```
//!
//! A layout never drops a field silently: what it cannot hold or does not know is an error or is reported.
//! Digests are always taken over the exact bytes; a parsed document is never serialised again to be named.

pub mod annotations;
pub mod delta;
pub mod detect;
pub mod document;
pub mod go_json;
pub mod index;
pub mod json;
pub mod kraftkit;
pub mod kubesolo;
pub mod media_types;
pub mod native;
pub mod oci;
pub mod port_v1;

pub use detect::Layout;
pub use document::{Document, DocumentError};
pub use index::{IndexDocument, Strategy};
pub use native::{DecodeError, Encoded, LayersError, Stored};
pub use oci::{Blob, Descriptor, Index, Manifest, Platform};
