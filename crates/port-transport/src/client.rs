//! The one HTTP client of a process and its policies.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may say nothing in the middle of an answer. A total limit would punish slow links.
const STALL: Duration = Duration::from_secs(30);
/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// A shared HTTP client. Making one costs nothing: TLS roots are read at the first request.
#[derive(Debug, Clone)]
pub struct Client {
    http: Arc<OnceLock<reqwest::Client>>,
    pub(crate) pause: Duration,
}

impl Default for Client {
    fn default() -> Self {
        Self { http: Arc::default(), pause: Duration::from_millis(500) }
    }
}

impl Client {
    /// The same client with another first pause between tries.
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The client beneath, which names itself `port/<version>`.
    pub(crate) fn http(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        // Installing twice is harmless: the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("port/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(STALL)
            .redirect(Policy::custom(redirect))
            .build()?;
        Ok(self.http.get_or_init(|| http))
    }
}

/// Follows a few redirects, never from https to http: a hop in the clear could be changed by anyone.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_https = attempt.previous().iter().any(|url| url.scheme() == "https");
    if attempt.previous().len() > REDIRECTS {
        attempt.error(format!("more than {REDIRECTS} redirects"))
    } else if was_https && attempt.url().scheme() != "https" {
        attempt.error("a redirect from https to http")
    } else {
        attempt.follow()
    }
}
