//! The client against a registry in memory that misbehaves on order.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod altered;
mod auth;
mod hostile;
mod lists;
mod peers;
mod pull;
mod push;
mod support;
