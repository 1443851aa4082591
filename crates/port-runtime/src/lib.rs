//! Boots a machine: one [`MachineSpec`], rendered purely, run by a [`Driver`], reached through its agent.
//!
//! ```text
//! MachineSpec ─┬─ check ─► render(spec, HostFacts) ─► arguments      (pure)
//!              │                    ▲
//!              │   accelerator (probe or kept verdict), channel, tsc
//!              ▼
//!           Driver::boot ─► Machine ─┬─ agent: AgentClient ─► guest
//!                                    └─ console, timings, shut_down
//! ```
//!
//! Invariants: this crate prints nothing and reads no environment; nothing that it starts or makes outlives the
//! [`Machine`], not even when Port is killed; a VMM never gets Port's environment.
//!
//! Not here: which bundle is booted and whether it is trusted (the caller passes verified paths), networks, and the
//! agent's channel for Firecracker and Cloud Hypervisor.

pub mod accelerator;
pub mod agent;
pub mod boot_test;
mod channel;
pub mod cloud_hypervisor;
pub mod confinement;
mod console;
pub mod doctor;
mod door;
pub mod driver;
pub mod error;
pub mod firecracker;
pub mod host;
mod kvm_vmm;
pub mod machine_spec;
mod process_group;
pub mod qemu;
pub mod refusal;
mod run_directory;
pub mod search_path;
mod spec_files;
#[cfg(test)]
mod testing;
pub mod timings;
mod virtiofs;
mod vmm_process;

pub use accelerator::{Accelerator, AcceleratorVerdict};
pub use agent::{AgentClient, AgentError, GuestCommand};
pub use cloud_hypervisor::CloudHypervisorDriver;
pub use confinement::Confinement;
pub use console::{ConsoleInput, ConsoleStream};
pub use door::AgentDoor;
pub use driver::{Driver, Ending, Machine};
pub use error::{RuntimeError, Tail};
pub use firecracker::FirecrackerDriver;
pub use machine_spec::{
    AgentChannel, ChannelKind, Console, Disk, DiskAccess, KernelFamily, MachineSpec, NetworkCard,
    PublishedPort, Share, ShareWay, Tap, TransportProtocol,
};
pub use qemu::QemuDriver;
pub use refusal::{RunFacts, Runnable, WhyNot, can_run};
pub use search_path::SearchPath;
pub use timings::Timings;
