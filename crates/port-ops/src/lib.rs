//! The verbs, one file each, without a terminal: the place to start reading.
//!
//! ```text
//! build     sources and recipes ─► local path, port.lock
//! validate  local path ─► findings
//! push      local path ─► store ─► backend, cache path
//! pull      backend ─► store ─► cache path ─► local path
//! list      what is where          inspect   what a variant is
//! copy      registry or layout ─► registry or layout, without a project
//! run       local path ─► driver ─► guest agent
//! trust     keys, signatures, policies: sign, attest, verify, and what pull and run ask
//! login     credentials ─► their registry ─► docker's or podman's file
//! packages  kernel, initrd ─► store ◄─► registry: unikernels as kraft has them, without a project
//! update    kernel and initramfs ─► registry: a release of KubeSolo OS
//! workload  manifest, its bases ─► findings, or one manifest that stands alone
//! ```
//!
//! Every verb starts from a [`Workspace`] and a [`Target`]: one variant of one artifact, resolved once. What was
//! verified is what is used: digests are taken from bytes that lie where they will be read.

mod build;
mod clients;
mod compressed;
pub mod copy;
mod describe;
mod doctor;
mod encode;
mod error;
mod hosted;
mod inspect;
mod list;
mod local;
mod lock_file;
pub mod login;
mod mirrors;
mod mounts;
pub mod packages;
mod packed;
mod paths;
mod preflight;
mod published;
mod pull;
mod push;
mod pvm;
mod referrers;
mod registry;
mod remote;
pub mod run;
mod source;
mod store;
mod target;
pub mod trust;
pub mod update;
mod validate;
pub mod workload;
mod workspace;

pub use build::{BuildOptions, BuildReport, build};
pub use doctor::{DoctorError, DoctorReport, boot_tests, doctor};
pub use error::OpsError;
pub use inspect::{DeltaRow, EncodedFile, InspectReport, PackRow, PackedFile, SharedRow, inspect};
pub use list::{ListReport, ListRow, Presence, list};
pub use packed::parent::ParentChoice;
pub use port_config::MOST_DELTAS;
pub use port_layout::index::Strategy;
pub use port_packed::PackedError;
pub use port_store::Packs;
pub use pull::pull;
pub use push::{FileReport, PushOptions, TransferReport, push};
pub use referrers::{Referrer, ReferrersReport, referrers, referrers_of};
pub use remote::{RemoteReport, RemoteRow, inspect_remote, list_remote};
pub use store::{
    RepairReport, Repaired, StoreRow, Unrepaired, collect_garbage, repair_store, store_rows, verify_store,
};
pub use target::Target;
pub use validate::{Finding, ValidateOptions, ValidateReport, validate};
pub use workspace::{Environment, Workspace};
