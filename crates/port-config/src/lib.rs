//! `port.toml` and `port.lock`: text to checked values, with errors that point at the line.
//!
//! Nothing here does I/O, reads the environment or a clock: callers bring the text and the host's
//! architecture, and resolve paths against the directory the command runs in (acceptance P-30).
//! A [`Project`] that exists is consistent: every name it mentions is there, every variant is concrete.
//!
//! ```text
//! text ─► document (spanned TOML) ─► read (types, keys) ─► check (names, duplicates) ─► Project
//!                    └──────────────── findings, all of them, in the order of the file ──┘
//! ```

pub mod artifact;
pub mod control_plane;
pub mod distribution;
pub mod lock;
pub mod machine;
pub mod project;
mod read;
pub mod recipe;
pub mod registries;
pub mod source;

pub use artifact::{Artifact, VariantConfig};
pub use control_plane::{ControlPlane, ControlPlaneAuth, TokenSource};
pub use distribution::{Backend, Distribution, MOST_DELTAS, RegistryAuth, RegistryConfig, Transport};
pub use lock::{Lock, LockEntry, LockedInput, LockedOutput};
pub use machine::{GuestSettings, Machine, RootfsOverlay, Volume};
pub use port_document::{DocumentError as ConfigError, Finding};
pub use project::{
    BaseImageSettings, DEFAULT_STORE_ROOT, OpaqueTables, Project, SourceSettings, UnknownName,
};
pub use recipe::{ImageFormat, Recipe};
pub use registries::{MirrorConfig, RegistrySettings, TagsAt};
pub use source::KernelSource;
