//! Bytes over HTTP: bounded, retried, resumed within one download, without trusting the other side.
//!
//! ```text
//! url ─► GET ─► stream ─► file (hashed on the way) ── cut? ── GET Range: bytes=<have>- ─► …
//! ```
//!
//! [`Client::download`] is for a file that nobody else wants; [`Client::gather`] continues over several connections what an earlier
//! process left at a path; [`Client::read`] is for documents.
//!
//! No read is without a limit; a stall ends a try, a slow answer does not; a redirect never leaves https for
//! http and never carries credentials. What the bytes are worth is for the caller: it knows the digest.

mod client;
mod download;
mod error;
mod journal;
mod memory;
mod parts;

pub use client::Client;
pub use download::Downloaded;
pub use error::{Failure, TransportError};
pub use parts::{Wanted, forget};
