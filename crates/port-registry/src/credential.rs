//! What a registry may be told about who is asking, and the one question that finds it out.
//!
//! Where credentials come from (files, helpers, the environment) is not known here. Invariant: a [`Secret`]
//! has no way into a message: neither `Debug` nor `Display` shows it, and it is not serialisable.

use std::fmt;

use crate::name::{RegistryHost, RepositoryName};

/// A password or token. It can be sent, not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends or stores it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What proves who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password, or an access token in its place.
    Basic {
        /// Who.
        username: String,
        /// The password or access token.
        password: Secret,
    },
    /// A refresh token (`identitytoken` of docker's `config.json`): it is exchanged for access tokens.
    IdentityToken(Secret),
    /// A ready access token (`registrytoken`): sent as it is.
    Bearer(Secret),
}

/// Credentials that could not be looked up. Having none is no error.
#[derive(Debug, thiserror::Error)]
#[error("cannot look up the credentials for `{registry}`")]
pub struct CredentialError {
    /// For which registry.
    pub registry: String,
    /// Why not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Knows credentials.
#[async_trait::async_trait]
pub trait CredentialSource: Send + Sync {
    /// The credentials for this repository of this registry; `None` asks anonymously.
    ///
    /// # Errors
    /// [`CredentialError`] where a configured source fails: a broken helper must not turn into an anonymous
    /// request whose refusal then misleads.
    async fn credentials(
        &self,
        registry: &RegistryHost,
        repository: &RepositoryName,
    ) -> Result<Option<Credentials>, CredentialError>;

    /// Which variables they are read from, in words, where it is variables: what a hint names.
    fn variables(&self) -> Option<&str> {
        None
    }
}

/// Knows no credentials: every request is anonymous.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anonymous;

#[async_trait::async_trait]
impl CredentialSource for Anonymous {
    async fn credentials(
        &self,
        _: &RegistryHost,
        _: &RepositoryName,
    ) -> Result<Option<Credentials>, CredentialError> {
        Ok(None)
    }
}

/// The same credentials for every repository of every registry that is asked with them.
#[derive(Debug, Clone)]
pub struct Fixed(pub Credentials);

#[async_trait::async_trait]
impl CredentialSource for Fixed {
    async fn credentials(
        &self,
        _: &RegistryHost,
        _: &RepositoryName,
    ) -> Result<Option<Credentials>, CredentialError> {
        Ok(Some(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let credentials = Credentials::Basic { username: "ci".to_owned(), password: Secret::new("hunter2") };
        assert!(!format!("{credentials:?} {:#?}", Fixed(credentials.clone())).contains("hunter2"));
    }
}
