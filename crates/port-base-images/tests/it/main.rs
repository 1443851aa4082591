//! The library against a mirror of the real bucket's shape.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]

mod ensure;
mod failures;
mod hosted;
mod prune;
mod resolve;
mod world;
