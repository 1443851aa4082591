//! An upload session: begun, asked how much it has, ended, given up. Its Location never leaves the registry's origin.

use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, Url};

use crate::auth::Scopes;
use crate::endpoint::shown;
use crate::error::Failure;
use crate::host::Host;
use crate::name::RepositoryName;
use crate::request::{Call, Reply, redirect};

/// A session that a registry has begun.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) location: Url,
    /// What the registry has, in bytes.
    pub(crate) offset: u64,
    /// The smallest part that it takes, but for the last (`OCI-Chunk-Min-Length`).
    pub(crate) least_part: Option<u64>,
}

/// What asking for a session, perhaps with a mount, brought.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The blob was mounted.
    Mounted,
    /// A session.
    Session(Session),
}

/// Who is asking and where, for all requests of an upload.
pub(crate) struct Uploads<'a> {
    pub(crate) host: &'a Host,
    pub(crate) repository: &'a RepositoryName,
    pub(crate) scopes: Scopes,
}

impl<'a> Uploads<'a> {
    pub(crate) fn new(host: &'a Host, repository: &'a RepositoryName) -> Self {
        Self { host, repository, scopes: Scopes::push(&host.endpoint.repository(repository)) }
    }

    pub(crate) fn call(&self, method: Method, url: Url) -> Call<'a> {
        Call::new(method, url, self.repository, self.scopes.clone())
    }

    /// Begins a session.
    pub(crate) async fn begin(&self) -> Result<Session, Failure> {
        let url = self.host.endpoint.uploads(self.repository);
        let reply = self.host.send(&self.call(Method::POST, url)).await?;
        let reply = reply.expect(self.host, &[202]).await?;
        self.session(reply).await
    }

    /// Asks for a mount of a blob from another repository; a registry that does not mount it begins a session.
    pub(crate) async fn mount(
        &self,
        digest: &port_model::Digest,
        from: &RepositoryName,
    ) -> Result<Begun, Failure> {
        let from = self.host.endpoint.repository(from);
        let mut url = self.host.endpoint.uploads(self.repository);
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", &from);
        let mut call = self.call(Method::POST, url);
        call.scopes = call.scopes.and(&from, &["pull"]);
        let reply = self.host.send(&call).await?.expect(self.host, &[201, 202]).await?;
        if reply.status() == 201 {
            crate::push::manifest::confirm(&reply, digest)?;
            reply.finish(self.host).await;
            return Ok(Begun::Mounted);
        }
        self.session(reply).await.map(Begun::Session)
    }

    async fn session(&self, reply: Reply) -> Result<Session, Failure> {
        let location = self.location(&reply)?;
        let least_part = reply.header("oci-chunk-min-length").and_then(|text| text.parse().ok());
        reply.finish(self.host).await;
        Ok(Session { location, offset: 0, least_part })
    }

    /// Where the session goes on. Credentials and data go there, so it must be at the registry's own origin.
    pub(crate) fn location(&self, reply: &Reply) -> Result<Url, Failure> {
        let location = redirect::location(reply.response.headers(), &reply.url).map_err(Failure::Hostile)?;
        let location =
            location.ok_or_else(|| Failure::BadAnswer("an upload without a Location".to_owned()))?;
        if self.host.is_home(&location) {
            return Ok(location);
        }
        Err(Failure::Hostile(format!(
            "an upload to {}, which is elsewhere than the registry",
            shown(&location)
        )))
    }

    /// How much a session has, as the registry says; `None` where it does not know the session.
    pub(crate) async fn status(&self, location: &Url) -> Result<Option<Session>, Failure> {
        let mut call = self.call(Method::GET, location.clone());
        call.redirects = crate::request::Redirects::Returned;
        let reply = self.host.send(&call).await?;
        if !matches!(reply.status(), 204 | 202) {
            reply.finish(self.host).await;
            return Ok(None);
        }
        let location = match reply.header("location") {
            Some(_) => self.location(&reply)?,
            None => location.clone(),
        };
        let Some(offset) = confirmed(&reply) else { return Ok(None) };
        reply.finish(self.host).await;
        Ok(Some(Session { location, offset, least_part: None }))
    }

    /// Gives a session up, as a courtesy.
    pub(crate) async fn cancel(&self, location: &Url) {
        let call = self.call(Method::DELETE, location.clone()).header(CONTENT_LENGTH, "0");
        if let Ok(reply) = self.host.attempt(&call).await {
            reply.finish(self.host).await;
        }
    }
}

/// How many bytes `Range` confirms: `0-N` means N + 1. Registries say `0-0` for nothing and for one byte; nothing is
/// the safe reading, since a byte that is sent twice is found by the digest and a lost one is not sent again.
pub(crate) fn confirmed(reply: &Reply) -> Option<u64> {
    let text = reply.header("range")?;
    let (start, last) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    match (start, last.parse::<u64>()) {
        ("0", Ok(0)) => Some(0),
        ("0", Ok(last)) => last.checked_add(1),
        // `0--1`, as some write for nothing.
        ("0", Err(_)) if last == "-1" => Some(0),
        _ => None,
    }
}
