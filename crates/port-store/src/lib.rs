//! The local content-addressed store: an OCI image layout on disk (image-spec 1.1, "Image Layout"), readable
//! by skopeo and oras.
//!
//! ```text
//! .port/store/
//!   oci-layout                 {"imageLayoutVersion": "1.0.0"}
//!   index.json                 names → manifests (org.opencontainers.image.ref.name)
//!   blobs/sha256/<hex>         read-only; there ⇒ complete and correct
//!   meta.json                  format version and feature tiers (docs/formats/store.md)
//!   files/<hash of a path>     digests of files, and some blocks of large ones, so that they are not hashed twice
//!   lock, index.lock           who is at work
//! ```
//!
//! A blob gets its name only after its bytes were hashed where they lie. Names change under `index.lock`;
//! whoever adds blobs holds `lock` shared until they are named, and garbage collection holds it alone.

mod beside;
mod doubt;
mod error;
mod format;
mod gc;
mod ingest;
mod known;
mod materialise;
mod reach;
mod refs;
mod samples;
mod store;
mod verify;

pub use error::StoreError;
pub use gc::{Collected, Packs};
pub use ingest::{Blob, Ingest};
pub use store::{Operation, Store};
pub use verify::{Damage, Verified};
