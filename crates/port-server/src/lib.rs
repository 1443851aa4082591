//! The control plane: an OCI registry and Port's hosted API over one store, in one process without a database.
//!
//! ```text
//!  connection ─► server ─► app ─► gate (who is it?) ─► distribution  /v2/   ┐
//!                           │                          hosted        /v1/   ├─► catalog ─► storage
//!                           └─► observe (one record)   /healthz, /readyz    ┘   (blobs,     (folder;
//!                                                                                manifests,  an object
//!                                                                                tags, …)    store next)
//! ```
//!
//! The seams, each a trait with nothing of HTTP in it:
//! - [`storage::Storage`]: what an object store can do. `contract.rs` says what every implementation must keep.
//! - [`gate::Gate`]: from what a request shows to a [`gate::Principal`] with grants. Tokens live behind it.
//! - [`observe::Observer`]: one record per request; logs, counters and audits listen there.
//!
//! What one face stores the other sees, since both are only ways to talk to the [`catalog::Catalog`], which knows repositories and
//! nothing of HTTP either. Several servers may work on one storage: there is no state besides it but running hashes of uploads,
//! which any server can make again.
//!
//! Invariants: names become keys only through [`name`]; a request is refused before its body is read; nothing is read without a limit;
//! no answer tells a client what is behind the server.

mod app;
pub mod catalog;
#[cfg(test)]
mod contract;
mod distribution;
pub mod gate;
mod hosted;
mod http;
pub mod name;
pub mod observe;
mod random;
mod server;
pub mod storage;

pub use server::{Limits, ServeError, Server, Settings};
