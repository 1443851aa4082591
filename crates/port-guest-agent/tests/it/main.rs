//! The real agent, as a process of the current user, driven over its transports.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot prepare its ground has failed, and its ground is a temporary directory"
)]

mod copy;
mod exec;
mod forward;
mod harness;
mod limits;
mod logs;
mod serial;
mod terminal;
