//! What tests share; a development dependency only, used from integration tests.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code: a panic is the report, and tests look at files the plain way"
)]

pub mod backend_contract;
pub mod certificates;
pub mod containerd;
pub mod http;
pub mod mirror;
pub mod peers;
pub mod power;
pub mod project;
pub mod proxy;
pub mod registry;
pub mod s3;
pub mod skip;
