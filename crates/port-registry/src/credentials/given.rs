//! Credentials that the caller has already: `basic-env` of `port.toml`.
//!
//! The variables were looked up by the caller. Invariant: given credentials are for one registry, so a
//! source that is asked about another one keeps them to itself.

use super::entry::{check_username, decode_auth};
use crate::credential::{CredentialError, CredentialSource, Credentials, Secret};
use crate::name::{RegistryHost, RepositoryName};

/// Credentials for one registry and no other.
#[derive(Debug, Clone)]
pub struct ForRegistry {
    registry: RegistryHost,
    credentials: Credentials,
    variables: Option<String>,
}

impl ForRegistry {
    /// Credentials for this registry; Docker Hub is one registry under all its names.
    pub fn new(registry: RegistryHost, credentials: Credentials) -> Self {
        Self { registry, credentials, variables: None }
    }
}

#[async_trait::async_trait]
impl CredentialSource for ForRegistry {
    async fn credentials(
        &self,
        registry: &RegistryHost,
        _: &RepositoryName,
    ) -> Result<Option<Credentials>, CredentialError> {
        let is_hub = registry.is_docker_hub() && self.registry.is_docker_hub();
        let is_same = *registry == self.registry || is_hub;
        Ok(is_same.then(|| self.credentials.clone()))
    }

    fn variables(&self) -> Option<&str> {
        self.variables.as_deref()
    }
}

/// Credentials whose variables cannot be used, for whom that becomes an error only when somebody asks for them: a mirror
/// that is not needed needs no password.
#[derive(Debug, Clone)]
pub struct Unusable(pub BasicEnvError);

#[async_trait::async_trait]
impl CredentialSource for Unusable {
    async fn credentials(
        &self,
        registry: &RegistryHost,
        _: &RepositoryName,
    ) -> Result<Option<Credentials>, CredentialError> {
        Err(CredentialError { registry: registry.to_string(), source: Box::new(self.0.clone()) })
    }
}

/// The name of an environment variable and its value.
#[derive(Debug, Clone)]
pub struct Variable {
    /// What `port.toml` calls it.
    pub name: String,
    /// What the environment has; `None` where it is not set. Held as a secret, whatever it is.
    pub value: Option<Secret>,
}

/// A variable of `basic-env` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {what} for `{registry}` cannot be used: expected {expected} in the variable `{variable}`, found {found}"
)]
pub struct BasicEnvError {
    /// For which registry.
    pub registry: String,
    /// User name or password.
    pub what: &'static str,
    /// What should be there.
    pub expected: &'static str,
    /// The name of the variable.
    pub variable: String,
    /// What is there, in words.
    pub found: &'static str,
}

/// The user and the token of a token that is both, as base64 of `user:token`: what Unikraft's cloud hands out, and kraft takes apart
/// (acceptance Ku-26). `None` for every other token.
pub fn split_token(token: &Secret) -> Option<(String, Secret)> {
    // Nothing of it is shown, whatever is wrong with it.
    match decode_auth(token.expose()).ok()? {
        Credentials::Basic { username, password } if !password.expose().is_empty() => {
            Some((username, password))
        }
        _ => None,
    }
}

/// The source of `auth = { kind = "basic-env", … }`.
///
/// # Errors
/// [`BasicEnvError`] where a variable is not set, empty, or no user name.
pub fn basic_env(
    registry: &RegistryHost,
    username: &Variable,
    password: &Variable,
) -> Result<ForRegistry, BasicEnvError> {
    let error = |what, expected, variable: &Variable, found| BasicEnvError {
        registry: registry.to_string(),
        what,
        expected,
        variable: variable.name.clone(),
        found,
    };
    let user = username
        .value
        .as_ref()
        .map_or(Err("no value"), |value| check_username(value.expose()).map(|()| value.expose().to_owned()));
    let user = user.map_err(|found| error("user name", "a user name without `:`", username, found))?;
    let secret = match &password.value {
        None => Err("no value"),
        Some(value) if value.is_empty() => Err("an empty one"),
        Some(value) => Ok(value.clone()),
    };
    let secret = secret.map_err(|found| error("password", "a password or access token", password, found))?;
    Ok(ForRegistry {
        registry: registry.clone(),
        credentials: Credentials::Basic { username: user, password: secret },
        variables: Some(format!("`{}` and `{}`", username.name, password.name)),
    })
}
