//! login, logout: credentials checked at their registry, then stored where docker or podman keep theirs.
//!
//! ```text
//! login:  refuse what cannot be sent ─► ask the registry's root ─► store ─► look up as the next command will
//! logout: remove ─► look up what is still found
//! ```
//!
//! Needs no project. Invariant: nothing is stored that the registry refused, or that it could not be asked about.

mod error;
mod place;

pub use error::LoginError;
pub use place::{LoginPlace, RegistryAccess};

use std::path::PathBuf;
use std::sync::Arc;

use port_model::Reporter;
use port_registry::credentials::{self, CredentialFiles, CredentialPaths, LoginTarget, Stored};
use port_registry::{Credentials, Kind, RegistryHost, Secret};
use serde::Serialize;

/// Who signs in where, and what for.
#[derive(Debug)]
pub struct LoginRequest {
    /// What for.
    pub place: LoginPlace,
    /// Who.
    pub username: String,
    /// The password or access token.
    pub password: Secret,
}

/// What a login did.
#[derive(Debug, Serialize)]
pub struct LoginReport {
    /// What for.
    pub registry: LoginPlace,
    /// Who.
    pub username: String,
    /// Whether the registry asked for the credentials, and took them. One that lets everybody in asks nobody.
    pub checked: bool,
    /// The file that the credentials are in, or that asks for the helper.
    pub file: PathBuf,
    /// The key in the file; none where a helper has them.
    pub key: Option<String>,
    /// The helper that has them.
    pub helper: Option<String>,
    /// Why the next command will use other credentials, or none.
    pub shadowed: Option<String>,
}

/// What a logout did.
#[derive(Debug, Serialize)]
pub struct LogoutReport {
    /// What for.
    pub registry: LoginPlace,
    /// The file that was changed, if there was something in it.
    pub file: PathBuf,
    /// The keys that were removed from the file.
    pub removed: Vec<String>,
    /// The helper that was told to forget them.
    pub helper: Option<String>,
    /// Keys for other paths of the registry, which are still in the file.
    pub remaining: Vec<String>,
    /// Where the next command still finds credentials.
    pub still_found: Option<String>,
}

/// Checks the credentials at the registry and stores them in `target`. `paths` is where commands look for them.
///
/// # Errors
/// [`LoginError`]; nothing is stored then.
pub async fn login(
    request: LoginRequest,
    access: &RegistryAccess,
    target: &LoginTarget,
    paths: &CredentialPaths,
    reporter: Arc<dyn Reporter>,
) -> Result<LoginReport, LoginError> {
    let LoginRequest { place, username, password } = request;
    check_shape(&username, &password)?;
    let credentials = Credentials::Basic { username: username.clone(), password };
    let checked = check(&place.registry, &username, &credentials, access, reporter).await?;
    let stored = credentials::login(target, &place.registry, place.namespace.as_ref(), &credentials).await;
    let (key, helper) = match stored {
        Ok(Stored::File { key, .. }) => (Some(key), None),
        Ok(Stored::Helper { program }) => (None, Some(program)),
        Err(source) => {
            return Err(LoginError::NotStored { place: Box::new(place), source: Box::new(source) });
        }
    };
    let shadowed = shadow(&place, &credentials, paths).await;
    let file = target.file.clone();
    Ok(LoginReport { registry: place, username, checked, file, key, helper, shadowed })
}

/// Removes the credentials from `target`.
///
/// # Errors
/// [`LoginError::NotRemoved`].
pub async fn logout(
    place: LoginPlace,
    target: &LoginTarget,
    paths: &CredentialPaths,
) -> Result<LogoutReport, LoginError> {
    match credentials::logout(target, &place.registry, place.namespace.as_ref()).await {
        Ok(removed) => {
            let lookup = CredentialFiles::new(paths.clone());
            let found = lookup.look_up(&place.registry, place.namespace.as_ref()).await;
            Ok(LogoutReport {
                registry: place,
                file: target.file.clone(),
                removed: removed.keys,
                helper: removed.helper,
                remaining: removed.remaining,
                still_found: found.ok().and_then(|found| found.found).map(|found| found.origin.to_string()),
            })
        }
        Err(source) => Err(LoginError::NotRemoved { place: Box::new(place), source: Box::new(source) }),
    }
}

/// What HTTP's basic authentication can carry, asked before anything is sent.
fn check_shape(username: &str, password: &Secret) -> Result<(), LoginError> {
    let fits = |c: char| c != ':' && !c.is_control();
    if username.is_empty() || !username.chars().all(fits) {
        let expected = "a name without `:` and control characters";
        return Err(LoginError::Unusable { what: "user name", expected });
    }
    if password.is_empty() || password.expose().contains('\0') {
        let expected = "at least one character, and no zero byte";
        return Err(LoginError::Unusable { what: "password", expected });
    }
    Ok(())
}

/// Whether the registry asked for the credentials. One that refuses them, or does not answer, is an error.
async fn check(
    registry: &RegistryHost,
    username: &str,
    credentials: &Credentials,
    access: &RegistryAccess,
    reporter: Arc<dyn Reporter>,
) -> Result<bool, LoginError> {
    let options = access.options([registry]);
    let signed_in = port_registry::sign_in(registry, credentials.clone(), options, reporter).await;
    signed_in.map_err(|failure| {
        let (registry, source) = (registry.clone(), Box::new(failure));
        match source.kind() {
            Kind::Unauthenticated | Kind::Forbidden => {
                LoginError::Refused { registry, username: username.to_owned(), source }
            }
            _ => LoginError::Unchecked { registry, source },
        }
    })
}

/// Why a command would not use what was stored just now, if so.
async fn shadow(place: &LoginPlace, stored: &Credentials, paths: &CredentialPaths) -> Option<String> {
    let lookup = CredentialFiles::new(paths.clone());
    match lookup.look_up(&place.registry, place.namespace.as_ref()).await {
        Ok(lookup) => match lookup.found {
            Some(found) if found.credentials == *stored => None,
            Some(found) => Some(format!("other credentials come first: {}", found.origin)),
            None => Some("the file is not among those that Port looks at".to_owned()),
        },
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_header_can_carry_is_refused_before_it_is_sent() {
        let check = |username: &str, password: &str| check_shape(username, &Secret::new(password)).is_ok();
        assert!(check("ci", "hunter2") && check("robot$ci", "a:b\n"));
        for (username, password) in [("", "p"), ("a:b", "p"), ("a\n", "p"), ("ci", ""), ("ci", "p\0")] {
            assert!(!check(username, password), "{username:?}");
        }
    }
}
