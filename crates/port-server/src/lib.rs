//! The control plane: an OCI registry and Port's hosted API over one store, in one process without a database.
#[cfg(test)]
mod contract;
pub mod storage;
