//! Recipes become components, reproducibly: kernels from their sources, guest images and initrds from files.
//!
//! ```text
//! kernel sources ─► kernel ──────► vmlinux | Image           inputs, outputs and
//!                     └─ modules ─┐                           kernel facts of each
//! agent, BusyBox, scripts, files ─┴─► guest_image ─► image,   build go to port.lock,
//!                                                    initrd   which the caller writes
//! ```
//!
//! Only fetching waits for a network, and only what is fetched is asynchronous. Nothing needs root; nothing
//! reads the environment or a clock.
//!
//! Invariants: the same inputs give the same bytes, on every host and in every directory; a path of an output
//! is replaced only by a complete, checked output; a PVM variant is never served by a standard artifact.

mod applets;
mod busybox;
mod command;
mod debian;
mod downloads;
mod environment;
mod error;
mod flake;
mod guest_image;
mod image;
mod initrd;
mod inputs;
mod kernel;
mod kernel_input;
mod modules;
mod program;
mod programs;
mod pvm;
mod record;
mod rootfs;
mod sources;
mod visitor;

pub use environment::{Context, DigestOf, Environment, LockMode};
pub use error::BuildError;
pub use guest_image::guest_image;
pub use inputs::directory_input;
pub use kernel::kernel;
pub use kernel_input::KernelInput;
pub use pvm::standard_digests;
pub use record::{Built, provenance};
pub use visitor::{VisitedRoot, visitor_initrd};
