//! Bytes with a digest: read bounded and verified, written atomically, copied without filling holes.
//!
//! This crate is the only one that calls `std::fs` (a clippy wall holds the others to it), so every I/O
//! error in Port carries the operation and the path.
//!
//! ```text
//! reader ─► verify (size, digest) ─► atomic (temp → fsync → rename → fsync directory) ─► path
//!                hashing                     failpoint: where tests kill the process
//! ```
//!
//! Invariant: a path that `atomic` made exists only with its complete content.

pub mod aside;
pub mod atomic;
pub mod failpoint;
pub mod flusher;
pub mod fs;
pub mod hashing;
pub mod limit;
pub mod lock;
pub mod sparse;
pub mod verify;
pub mod witness;

pub use failpoint::failpoint;
pub use fs::FsError;

/// Who is told up to where a file that is being filled holds its bytes.
pub type Told = Box<dyn Fn(u64) + Send>;
