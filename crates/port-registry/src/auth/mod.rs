//! Who is asking: from a challenge to the header that answers it.
//!
//! ```text
//! request ─► 401 + challenge ─► basic header, or realm vetted ─► token (kept per scope until it expires) ─► request
//! ```
//!
//! The second request and all later ones carry their header at once. Invariant: a password goes to the registry's
//! own origin and to its vetted token service, nowhere else; in the clear only where [`Host::may_send_secrets`] says so.

mod challenge;
mod realm;
mod scope;
mod token;

use std::collections::HashMap;

use reqwest::header::{HeaderMap, HeaderValue};
use tokio::sync::Mutex;

use crate::auth::challenge::Challenge;
use crate::auth::realm::Realm;
pub(crate) use crate::auth::scope::Scopes;
use crate::auth::token::Token;
use crate::credential::Credentials;
use crate::credentials::base64;
use crate::endpoint::shown;
use crate::error::Failure;
use crate::host::Host;
use crate::name::RepositoryName;

/// The most tokens that are kept at one registry.
const MOST_TOKENS: usize = 256;

/// What is known about asking one registry.
#[derive(Default)]
pub(crate) struct Auth {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    scheme: Option<Scheme>,
    tokens: HashMap<Scopes, Token>,
    credentials: HashMap<RepositoryName, Option<Credentials>>,
}

#[derive(Clone)]
enum Scheme {
    Basic,
    Bearer { realm: Realm, service: Option<String> },
}

impl Auth {
    /// The header for a request, as far as is known without a challenge.
    pub(crate) async fn header(
        &self,
        host: &Host,
        repository: &RepositoryName,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>, Failure> {
        let mut state = self.state.lock().await;
        match state.scheme.clone() {
            None => Ok(None),
            Some(scheme) => state.answer(host, repository, scopes, (&scheme, None)).await,
        }
    }

    /// The header that answers a challenge; `sent` is the one that was refused. `None` where there is none better.
    pub(crate) async fn answer(
        &self,
        host: &Host,
        repository: &RepositoryName,
        scopes: &Scopes,
        headers: &HeaderMap,
        sent: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let mut state = self.state.lock().await;
        // Another request may have answered the same challenge while this one waited.
        if let Some(scheme) = state.scheme.clone() {
            let known = state.answer(host, repository, scopes, (&scheme, None)).await?;
            if known.is_some() && known.as_ref() != sent {
                return Ok(known);
            }
        }
        let Some((scheme, scope)) = choose(host, &challenge::challenges(headers))? else { return Ok(None) };
        state.tokens.remove(scopes);
        state.credentials.remove(repository);
        state.scheme = Some(scheme.clone());
        let header = state.answer(host, repository, scopes, (&scheme, scope.as_deref())).await?;
        Ok(header.filter(|header| Some(header) != sent))
    }
}

impl State {
    async fn answer(
        &mut self,
        host: &Host,
        repository: &RepositoryName,
        scopes: &Scopes,
        (scheme, challenged): (&Scheme, Option<&str>),
    ) -> Result<Option<HeaderValue>, Failure> {
        let credentials = self.credentials(host, repository).await?;
        if credentials.is_some() || matches!(scheme, Scheme::Bearer { .. }) {
            host.may_send_secrets()?;
        }
        match (scheme, credentials) {
            (_, Some(Credentials::Bearer(token))) => {
                secret_header(&format!("Bearer {}", token.expose())).map(Some)
            }
            (Scheme::Basic, Some(Credentials::Basic { username, password })) => {
                let pair = format!("{username}:{}", password.expose());
                secret_header(&format!("Basic {}", base64::encode(pair.as_bytes()))).map(Some)
            }
            (Scheme::Basic, _) => Ok(None),
            (Scheme::Bearer { realm, service }, credentials) => {
                let token = self.token(host, (realm, service.as_deref()), scopes, challenged, credentials);
                let token = token.await?;
                secret_header(&format!("Bearer {}", token.secret.expose())).map(Some)
            }
        }
    }

    async fn token(
        &mut self,
        host: &Host,
        (realm, service): (&Realm, Option<&str>),
        scopes: &Scopes,
        challenged: Option<&str>,
        credentials: Option<Credentials>,
    ) -> Result<Token, Failure> {
        let now = tokio::time::Instant::now();
        self.tokens.retain(|_, token| token.until > now);
        if let Some(token) = self.tokens.get(scopes) {
            return Ok(token.clone());
        }
        if credentials.is_some() && !realm.trusted {
            return Err(Failure::Hostile(format!(
                "the credentials for the token service {}, which is elsewhere than the registry and not among the trusted realms",
                shown(&realm.url)
            )));
        }
        let wanted = match challenged {
            Some(scope) => scopes.clone().with_challenge(scope, realm.own_host),
            None => scopes.clone(),
        };
        let token = token::fetch(host, realm, service, &wanted, credentials.as_ref()).await?;
        if self.tokens.len() < MOST_TOKENS {
            self.tokens.insert(scopes.clone(), token.clone());
        }
        Ok(token)
    }

    async fn credentials(
        &mut self,
        host: &Host,
        repository: &RepositoryName,
    ) -> Result<Option<Credentials>, Failure> {
        if let Some(known) = self.credentials.get(repository) {
            return Ok(known.clone());
        }
        let found =
            host.credentials.credentials(&host.name, repository).await.map_err(Failure::Credentials)?;
        self.credentials.insert(repository.clone(), found.clone());
        Ok(found)
    }
}

/// The challenge to be answered: bearer where it is offered, else basic.
fn choose(host: &Host, challenges: &[Challenge]) -> Result<Option<(Scheme, Option<String>)>, Failure> {
    for challenge in challenges {
        if let Challenge::Bearer { realm, service, scope } = challenge {
            let realm = realm::vet(realm, host.endpoint.base(), &host.options.trusted_realms)
                .map_err(Failure::Hostile)?;
            let scheme = Scheme::Bearer { realm, service: service.clone() };
            return Ok(Some((scheme, scope.clone())));
        }
    }
    Ok(challenges.contains(&Challenge::Basic).then_some((Scheme::Basic, None)))
}

fn secret_header(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Failure::BadAnswer("a token or password holds characters that no header may hold".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_header_is_not_shown() {
        assert!(!format!("{:?}", secret_header("Basic hunter2").unwrap()).contains("hunter2"));
        assert!(secret_header("Bearer a\nb").is_err());
    }
}
