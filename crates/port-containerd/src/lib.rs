//! A client of containerd: content, images and leases, over the socket that its own clients use.
//!
//! ```text
//! Containerd ─► content: info, read, write, label      images: name ─► descriptor      leases: what must not be collected
//! ```
//!
//! No pulls, snapshots or containers, and no knowledge of packages: what labels and names mean is the caller's. Calls block;
//! a thread of their own drives the connection, so that they may be made from anywhere. Invariant: no call is without a
//! limit of time and of memory, and every one is made in the one namespace that the client was opened with.

mod client;
mod content;
mod error;
mod images;
mod leases;
mod messages;

pub use client::{Address, AddressError, Containerd};
pub use content::{Content, NewContent};
pub use error::{ContainerdError, Kind, Refusal};
pub use images::{Image, Target};
pub use leases::{Collection, Lease};

/// Labels by key.
pub type Labels = std::collections::BTreeMap<String, String>;
