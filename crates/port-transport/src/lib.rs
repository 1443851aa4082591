//! Bytes over HTTP: bounded, retried, resumed within one download, without trusting the other side.
//!
//! ```text
//! url ─► GET ─► stream ─► file (hashed on the way) ── cut? ── GET Range: bytes=<have>- ─► …
//! ```
//!
//! No read is without a limit; a stall ends a try, a slow answer does not; a redirect never leaves https for
//! http and never carries credentials. What the bytes are worth is for the caller: it knows the digest.

mod client;
mod download;
mod error;

pub use client::Client;
pub use download::Downloaded;
pub use error::{Failure, TransportError};
