//! When the steps of a machine's life happened, on the monotonic clock.

use std::time::Instant;

/// When the steps of a machine's life happened.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// `boot` was called.
    pub requested: Instant,
    /// The VMM was started.
    pub spawned: Instant,
    /// The guest's console showed its first byte.
    pub first_console_byte: Option<Instant>,
    /// The agent answered.
    pub agent_ready: Option<Instant>,
    /// The last command was sent to the agent.
    pub command_started: Option<Instant>,
    /// It ended.
    pub command_ended: Option<Instant>,
    /// The machine was asked to end.
    pub shutdown_requested: Option<Instant>,
    /// The VMM ended.
    pub ended: Option<Instant>,
}

impl Timings {
    pub(crate) fn new(requested: Instant, spawned: Instant) -> Self {
        Self {
            requested,
            spawned,
            first_console_byte: None,
            agent_ready: None,
            command_started: None,
            command_ended: None,
            shutdown_requested: None,
            ended: None,
        }
    }
}
