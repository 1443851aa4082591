//! The registry clients of one invocation: one for each registry, configuration and way of reading.
//!
//! Everybody who talks to a registry shares its connections, its tokens, what was learnt of its abilities, and which of
//! its mirrors gave wrong bytes or none.

use std::sync::{Mutex, PoisonError};

use port_config::RegistryConfig;
use port_registry::{Client, RegistryHost};

use crate::error::OpsError;
use crate::registry::Reading;

/// What makes a client another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) host: RegistryHost,
    pub(crate) config: RegistryConfig,
    pub(crate) reading: Reading,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Clients(Mutex<Vec<(Key, Client)>>);

impl Clients {
    /// The client that is known, else the one that `make` makes.
    pub(crate) fn get(
        &self,
        key: Key,
        make: impl FnOnce() -> Result<Client, OpsError>,
    ) -> Result<Client, OpsError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = known.iter().find(|(other, _)| *other == key) {
            return Ok(client.clone());
        }
        let client = make()?;
        known.push((key, client.clone()));
        Ok(client)
    }
}
