//! Updates in the field: what a release says, whether this machine takes it now, and how it never loses its way back.
//!
//! ```text
//! signed statement ─► release ─► gates (channel, architecture, sequence, expiry, …) ─► Take | UpToDate | Deferred | Refused
//! event ─► machine::step(state) ─► state, effects                       window, waves, backoff: when
//! ```
//!
//! What decides is pure: the clock is given, and nothing is read. No network is spoken here; `port-ops` brings the bytes.
//!
//! Invariant: nothing that is not signed, or allowed unsigned in as many words, ever reaches a slot.

pub mod backoff;
pub mod config;
pub mod events;
pub mod failure;
pub mod gates;
pub mod inhibit;
pub mod journal;
pub mod latest;
pub mod machine;
pub mod metrics;
pub mod record;
pub mod release;
pub mod slots;
pub mod version;
pub mod waves;
pub mod window;

pub use config::{Config, ConfigError, UnknownKeys};
pub use failure::Class;
pub use gates::{Decision, Device, Memory, Moment};
pub use journal::{Journal, JournalError};
pub use record::{Found, Record};
pub use release::{ReleaseError, ReleaseStatement};
pub use slots::{SlotError, SlotName, Slots};
pub use version::{Version, VersionError};
