//! The client against a registry in memory that misbehaves on order.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod altered;
mod auth;
mod clear;
mod client_certificate;
mod credentials;
mod hostile;
mod lists;
mod mirrors;
mod overlap;
mod peers;
mod pull;
mod push;
mod push_ends;
mod ranges;
mod slow;
mod support;
