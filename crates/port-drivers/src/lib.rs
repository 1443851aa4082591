//! Runs planned workloads: drivers, the supervisor, state on disk, logs.
//!
//! ```text
//! Plan ─► Driver::prepare ─► Job ─► Room (state on disk) ─► supervise ─► record, log
//!            pure                    │                        │  own mount namespace: mounts end with it
//!            refuses by name         └ lock: who holds it     └─► nspawn ─► port-launcher ─► the command
//!                                      supervises
//! ```
//!
//! Invariants: a job holds all that running needs, so that the supervisor judges nothing; every mount is made in the
//! supervisor's own mount namespace, and everything that it starts dies with it, so that a kill at any instant leaves
//! nothing but files of the room; what the host cannot keep is refused, or said where that was allowed.
//!
//! Not here: manifests (`port-workload`), where a root file system comes from, and what the user types.

mod container;
pub mod control_group;
mod driver;
mod emulated;
mod error;
mod exec;
mod guard;
mod inside;
mod job;
mod keeper;
mod landlock;
mod life;
mod log;
mod machine;
mod mounts;
mod native;
mod network;
mod place;
mod profile_file;
mod record;
mod room;
mod seccomp;
mod start;
mod supervisor;

pub use container::ContainerDriver;
pub use driver::{Driver, Host, Request, driver_for};
pub use emulated::EmulatedDriver;
pub use error::DriverError;
pub use exec::{Entry, Visitor, enter};
pub use job::{Body, Bridge, Job, Layer, Limit, Lower, Port, Transport, Volume};
pub use log::LogReader;
pub use machine::{MachineDriver, MachineFiles, MachineJob, Vmm};
pub use native::NativeDriver;
pub use record::{Record, Status};
pub use room::{Room, Rooms, State};
pub use start::{Attachment, Claim, Started, Starter, Stopped, claim, start, stop};
pub use supervisor::{Watcher, supervise};
