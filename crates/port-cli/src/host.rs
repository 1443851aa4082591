//! What machine this is.

use port_model::Architecture;

use crate::error::{CommandError, Exit};

/// The host's architecture, which `native` stands for.
pub fn architecture() -> Result<Architecture, CommandError> {
    std::env::consts::ARCH.parse().map_err(|error: port_model::UnknownWord| {
        CommandError::new(Exit::Failed, format!("Port does not run on this host: {error}"))
    })
}
