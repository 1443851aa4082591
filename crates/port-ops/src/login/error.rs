//! What can go wrong with a login or logout. Invariant: no password, and nothing that holds one, is in a message.

use port_registry::credentials::CredentialsError;
use port_registry::{Failure, RegistryHost};

use super::LoginPlace;

/// Why somebody is not signed in, or not signed out.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// A user name or password that no registry can be sent.
    #[error("not signed in: the {what} cannot be used: expected {expected}")]
    Unusable {
        /// User name or password.
        what: &'static str,
        /// What can be sent.
        expected: &'static str,
    },
    /// The registry knows better.
    #[error("not signed in: `{registry}` refuses the user `{username}` with this password")]
    Refused {
        /// Who refuses.
        registry: RegistryHost,
        /// Whom.
        username: String,
        /// What it said.
        #[source]
        source: Box<Failure>,
    },
    /// The registry could not be asked.
    #[error("not signed in: `{registry}` cannot be asked whether the password is right")]
    Unchecked {
        /// Who does not answer.
        registry: RegistryHost,
        /// Why.
        #[source]
        source: Box<Failure>,
    },
    /// The registry took the credentials, and they could not be stored.
    #[error("not signed in: the credentials for `{place}` are right, and cannot be stored")]
    NotStored {
        /// For what.
        place: Box<LoginPlace>,
        /// Why.
        #[source]
        source: Box<CredentialsError>,
    },
    /// What is stored cannot be removed.
    #[error("not signed out: the credentials for `{place}` cannot be removed")]
    NotRemoved {
        /// For what.
        place: Box<LoginPlace>,
        /// Why.
        #[source]
        source: Box<CredentialsError>,
    },
}
