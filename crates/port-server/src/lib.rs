//! The control plane: an OCI registry and Port's hosted API over one store, in one process without a database.
//!
//! ```text
//!  connection ─► server ─► app ─► gate (who is it?) ─► distribution  /v2/   ┐
//!                           │                          hosted        /v1/   ├─► catalog ─► storage
//!                           └─► observe (one record)   /healthz, /readyz    ┘   (blobs,     (folder,
//!                                                                                manifests,  bucket)
//!                                                                                tags, …)
//! ```
//!
//! The seams, each a trait with nothing of HTTP in it:
//! - [`storage::Storage`]: what an object store can do. `contract.rs` says what every implementation must keep.
//! - [`gate::Gate`]: from what a request shows to a [`gate::Principal`] with grants. Tokens live behind it.
//! - [`observe::Observer`]: one record per request; logs and counters listen there.
//!
//! What holds clients to their limits stands at the edge: connections and requests per client (`limiter.rs`), heads and slow takers
//! (`guarded.rs`), slow senders (`http/body.rs`). Who changed what is kept in the [`audit`] log before the change is acknowledged.
//!
//! What operators see is `panel.rs` (the page, the numbers of `meters.rs`); what is done while nobody asks is [`maintenance`]: collection
//! (`catalog/collect.rs`) and reading blobs again (`catalog/scrub.rs`).
//!
//! What one face stores the other sees, since both are only ways to talk to the [`catalog::Catalog`], which knows repositories and
//! nothing of HTTP either. Several servers may work on one storage: there is no state besides it but running hashes of uploads,
//! which any server can make again.
//!
//! Invariants: names become keys only through [`name`]; a request is refused before its body is read; nothing is read without a limit;
//! no answer tells a client what is behind the server.

mod app;
pub mod audit;
pub mod catalog;
#[cfg(test)]
mod contract;
mod distribution;
pub mod gate;
mod guarded;
mod hosted;
mod http;
mod limiter;
mod limits;
pub mod maintenance;
mod meters;
pub mod name;
pub mod observe;
pub mod open_files;
mod openapi;
mod pace;
mod panel;
mod random;
mod readiness;
mod server;
pub mod storage;
mod tls;
mod token_flow;

pub use limiter::Ticks;
pub use limits::{BlobLimit, Limits};
pub use openapi::document as openapi_document;
pub use pace::{LeastRate, TooSlow};
pub use server::{ServeError, Server, Settings};
pub use tls::{Tls, TlsError};
