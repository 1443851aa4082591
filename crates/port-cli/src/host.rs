//! What machine this is, what it is called, and what time it is.

use std::time::SystemTime;

use port_model::Architecture;

use crate::error::{CommandError, Exit};

/// The host's architecture, which `native` stands for.
pub fn architecture() -> Result<Architecture, CommandError> {
    std::env::consts::ARCH.parse().map_err(|error: port_model::UnknownWord| {
        CommandError::new(Exit::Failed, format!("Port does not run on this host: {error}"))
    })
}

/// The host's name, as the kernel has it.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What time it is. The only reader of the clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place that passes the time down")]
pub fn now() -> SystemTime {
    SystemTime::now()
}
