//! Workload manifests (Volt's format, version 2): read, validated, resolved and planned.
//!
//! Nothing here does I/O, reads the environment or a clock: callers bring texts, bases and variables. Each step is one
//! call, and none does another's work (acceptance V-46):
//!
//! ```text
//! bytes ─► Document::parse ─► Chain (bases, one by one) ─► Resolved::new ─► check ─► plan
//!             places               Chain::next says            one manifest    every     what a driver
//!                                  what to read                that stands     problem   must do
//!                                                              alone           at once
//! ```
//!
//! Running is not here: a [`Plan`] is what a driver gets.

pub mod address;
pub mod capability;
mod cgroup;
mod chain;
mod check;
pub mod cpu_set;
mod defaults;
mod fields;
mod manifest;
pub mod memory_size;
mod plan;
pub mod port_mapping;
mod problem;
pub mod profile;
mod read;
mod resolve;
mod rootfs;
mod schema;
mod variables;
mod words;
mod write;

pub use address::Address;
pub use cgroup::Setting;
pub use chain::{Base, Chain, DEEPEST, problem as extends_problem};
pub use check::check;
pub use cpu_set::CpuSet;
pub use defaults::MACHINE_MEMORY;
pub use manifest::{Kernel, Manifest, Network, Resources, STORED, Security, Storage, Volume, Workload};
pub use memory_size::MemorySize;
pub use plan::{Access, KernelSource, Launch, Limits, Mount, NetworkPlan, Plan, Root, SecurityPlan, plan};
pub use port_mapping::{PortMapping, PortMappingError};
pub use problem::Problem;
pub use profile::Profile;
pub use read::Document;
pub use resolve::{Placed, Resolved};
pub use rootfs::{PUBLISHED, RootSource};
pub use schema::json_schema;
pub use variables::{BUILT_IN, HOST_NAME, Variables, is_variable_name};
pub use words::{LandlockWord, Mode, NetworkMode, Protocol, SeccompWord, WritableLayer};
pub use write::EncodeError;
