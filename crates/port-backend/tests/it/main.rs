//! Backends through their public interface.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]

mod blocks;
mod contract;
