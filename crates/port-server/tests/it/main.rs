//! The server over real sockets.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]
#![expect(unreachable_pub, reason = "a program has no outside")]

mod client;
mod hosted;
mod hosted_backend;
mod life;
mod registry;
mod running;
