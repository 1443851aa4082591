//! The server over real sockets.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]
#![expect(clippy::print_stdout, reason = "tests with figures say them to who asks with --nocapture")]
#![expect(unreachable_pub, reason = "a program has no outside")]

mod attacks;
mod client;
mod conformance;
mod faults;
mod guarded;
mod hosted;
mod hosted_backend;
mod hosted_patience;
mod kills;
mod life;
mod panel;
mod process;
mod registry;
mod running;
mod tls;
mod tokens;
