//! Kernels: what a kernel file is, and how it becomes the file that Port stores. No network, no `port.toml`.
//!
//! ```text
//! vmlinux ────────────────────────────────┐
//! bzImage ── payload ── unpack ───────────┤
//! Image, Image.gz, zboot ── unpack ───────┼──► prepare ──► component file + Prepared (release, size, digest …)
//! linux-image-*.deb ── KernelPackage ─────┤
//!                          └── modules ───┴──► ModulePlan (load order) ──► module bytes
//! ```
//!
//! An x86_64 kernel is stored as an ELF `vmlinux`, because Firecracker loads nothing else; an aarch64
//! kernel is stored as an `Image` for the same reason.
//!
//! Invariant: every byte read here is hostile until checked. No reader panics, none allocates by a
//! number that a file claims, and every refusal names the file, what was expected and what was found.

mod ar;
mod bytes;
pub mod bzimage;
pub mod config;
pub mod control;
pub mod deb;
pub mod decompress;
pub mod dependency;
pub mod elf;
mod error;
pub mod facts;
pub mod format;
#[cfg(test)]
mod hostile;
pub mod image;
pub mod index;
mod inspect;
mod lz4;
pub mod modinfo;
pub mod modules;
pub mod package;
mod prepare;
#[cfg(test)]
mod samples;
mod scan;

pub use config::{KernelConfig, Setting};
pub use control::Control;
pub use deb::Deb;
pub use decompress::Compression;
pub use dependency::Dependency;
pub use elf::ElfFacts;
pub use error::KernelError;
pub use facts::Banner;
pub use format::KernelFormat;
pub use index::ModuleIndex;
pub use modules::{Feature, Missing, ModuleEntry, ModulePlan, Need, Wanted};
pub use package::{KernelPackage, open_kernel_package};
pub use prepare::{Prepared, prepare, prepare_stream};

/// The largest kernel that is unpacked, in bytes. Kernels are 10 to 70 MB; debug kernels stay under 1 GiB.
pub const LARGEST_KERNEL: u64 = 1024 * 1024 * 1024;
