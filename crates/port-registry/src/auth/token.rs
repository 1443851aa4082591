//! A token service asked for a token: by GET with a password, by POST with a refresh token.
//!
//! Answers are read with a limit; redirects are not followed.

use std::time::Duration;

use reqwest::{Method, Url};
use serde::Deserialize;

use crate::auth::realm::Realm;
use crate::auth::scope::Scopes;
use crate::credential::{Credentials, Secret};
use crate::endpoint::shown;
use crate::error::Failure;
use crate::host::{Host, Way};
use crate::request::body::read_bounded;
use crate::request::refusal;

/// The most of a token service's answer that is read, in bytes.
const LARGEST: u64 = 64 * 1024;
/// How long a token lives whose service does not say (distribution's token specification).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// A token is used no longer than this, whatever its service says.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A token and until when it is good.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) until: tokio::time::Instant,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

/// Asks for a token.
pub(crate) async fn fetch(
    host: &Host,
    realm: &Realm,
    service: Option<&str>,
    scopes: &Scopes,
    credentials: Option<&Credentials>,
) -> Result<Token, Failure> {
    let asked = tokio::time::Instant::now();
    let request = match credentials {
        Some(Credentials::IdentityToken(token)) => {
            let form = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
            post(host, realm, service, scopes, &form).await?
        }
        Some(Credentials::Basic { username, password }) => {
            get(host, realm, service, scopes).await?.basic_auth(username, Some(password.expose()))
        }
        _ => get(host, realm, service, scopes).await?,
    };
    let mut response = send(host, realm, request).await?;
    if let (405, Some(Credentials::Basic { username, password })) = (response.status().as_u16(), credentials)
    {
        // Some token services speak OAuth2 only.
        let form = [("grant_type", "password"), ("username", username), ("password", password.expose())];
        response = send(host, realm, post(host, realm, service, scopes, &form).await?).await?;
    }
    read(host, realm, response, asked).await
}

fn way(realm: &Realm) -> Way {
    if realm.own_host { Way::Home } else { Way::Outside }
}

async fn get(
    host: &Host,
    realm: &Realm,
    service: Option<&str>,
    scopes: &Scopes,
) -> Result<reqwest::RequestBuilder, Failure> {
    let mut url = realm.url.clone();
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(service.map(|service| ("service", service)));
        query.extend_pairs(scopes.texts().map(|scope| ("scope", scope)));
    }
    host.request(way(realm), Method::GET, url).await
}

async fn post(
    host: &Host,
    realm: &Realm,
    service: Option<&str>,
    scopes: &Scopes,
    form: &[(&str, &str)],
) -> Result<reqwest::RequestBuilder, Failure> {
    // The query of a URL that goes nowhere: the same encoding as a form's.
    let mut encoder = Url::parse("https://form.invalid/").map_err(|_| wrong("no form can be written"))?;
    {
        let mut query = encoder.query_pairs_mut();
        query.extend_pairs(form).append_pair("client_id", "port");
        query.extend_pairs(service.map(|service| ("service", service)));
        query.append_pair("scope", &scopes.texts().collect::<Vec<_>>().join(" "));
    }
    let body = encoder.query().unwrap_or_default().to_owned();
    let request = host.request(way(realm), Method::POST, realm.url.clone()).await?;
    Ok(request.header("content-type", "application/x-www-form-urlencoded").body(body))
}

async fn send(
    host: &Host,
    realm: &Realm,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, Failure> {
    if way(realm) == Way::Outside {
        host.check_outside(&realm.url).await?;
    }
    host.once(request, host.patience().stall).await.map_err(|error| error.into_failure(&realm.url, 1))
}

async fn read(
    host: &Host,
    realm: &Realm,
    response: reqwest::Response,
    asked: tokio::time::Instant,
) -> Result<Token, Failure> {
    if !response.status().is_success() {
        let refusal = refusal(response, host.patience()).await;
        return Err(match refusal.status {
            300..=399 => Failure::Hostile(format!("the token service {} redirects", shown(&realm.url))),
            400 | 401 | 403 => {
                Failure::Unauthenticated { refusal, hint: "the token service refuses the credentials" }
            }
            _ => Failure::of_status(refusal),
        });
    }
    let bytes = read_bounded(response, LARGEST, host.patience()).await?;
    let answer: Answer =
        serde_json::from_slice(&bytes).map_err(|_| wrong("the token service's answer holds no token"))?;
    let secret = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let secret = secret.ok_or_else(|| wrong("the token service's answer holds no token"))?;
    let life = answer.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let life = life.filter(|life| !life.is_zero()).unwrap_or(DEFAULT_LIFE).min(LONGEST_LIFE);
    // The last tenth of its life is not used: a request takes time to arrive.
    Ok(Token { secret: Secret::new(secret), until: asked + life.mul_f64(0.9) })
}

fn wrong(text: &str) -> Failure {
    Failure::BadAnswer(text.to_owned())
}
