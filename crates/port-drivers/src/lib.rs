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
mod error;
mod exec;
mod guard;
mod inside;
mod job;
mod keeper;
mod landlock;
mod log;
mod mounts;
mod network;
mod profile_file;
mod record;
mod room;
mod seccomp;
mod start;
mod supervisor;

pub use container::ContainerDriver;
pub use driver::{Driver, Host, Request, driver_for};
pub use error::DriverError;
pub use exec::exec_command;
pub use job::{Bridge, Job, Layer, Limit, Lower, Port, Transport};
pub use log::LogReader;
pub use record::{Record, Status};
pub use room::{Room, Rooms, State};
pub use start::{Attachment, Started, Starter, Stopped, start, stop};
pub use supervisor::{Watcher, supervise};
