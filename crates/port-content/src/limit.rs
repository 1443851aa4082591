//! Named limits: how much of what comes from outside is ever read into memory.

/// A configuration file, in bytes.
pub const CONFIGURATION: u64 = 4 * 1024 * 1024;
/// An OCI manifest, index or config blob, in bytes. Registries refuse larger manifests.
pub const DOCUMENT: u64 = 4 * 1024 * 1024;
/// A small record of our own (lock file, build record, side-car), in bytes.
pub const RECORD: u64 = 4 * 1024 * 1024;
