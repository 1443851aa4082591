//! The server over real sockets.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]
#![expect(unreachable_pub, reason = "a program has no outside")]

mod attacks;
mod client;
mod guarded;
mod hosted;
mod hosted_backend;
mod hosted_patience;
mod life;
mod panel;
mod registry;
mod running;
mod tls;
mod tokens;
