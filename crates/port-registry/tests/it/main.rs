//! The client against a registry in memory that misbehaves on order.

mod auth;
mod hostile;
mod lists;
mod pull;
mod push;
mod support;
