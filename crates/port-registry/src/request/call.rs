//! A request that can be sent several times, and the answer to it.

use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::auth::Scopes;
use crate::error::{Failure, Refusal};
use crate::host::Host;
use crate::name::RepositoryName;
use crate::request::body::{Body, Progress, read_bounded};
use crate::request::refusal::{LARGEST_ERROR, refusal};

/// One request, which can be sent several times.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) repository: &'a RepositoryName,
    pub(crate) scopes: Scopes,
    pub(crate) redirects: Redirects,
    pub(crate) progress: Option<Arc<Progress>>,
    pub(crate) answer: Answer,
}

/// How long the answer may take, once all is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As long as nothing may move.
    Soon,
    /// As long as a registry may take to hash and move what it got.
    Committed,
}

/// Where redirects may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// Nowhere: they are answers.
    Returned,
    /// To vetted places, without credentials.
    Followed,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, url: Url, repository: &'a RepositoryName, scopes: Scopes) -> Self {
        let redirects = match method {
            Method::GET | Method::HEAD => Redirects::Followed,
            _ => Redirects::Returned,
        };
        let (headers, body) = (HeaderMap::new(), Body::Empty);
        let answer = Answer::Soon;
        Self { method, url, headers, body, repository, scopes, redirects, progress: None, answer }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: reqwest::header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// This request ends something that the registry then commits.
    #[must_use]
    pub(crate) fn commits(self) -> Self {
        Self { answer: Answer::Committed, ..self }
    }

    #[must_use]
    pub(crate) fn body(self, body: Body, progress: Option<&Arc<Progress>>) -> Self {
        Self { body, progress: progress.cloned(), ..self }
    }
}

/// The head of an answer, and its body to come. It counts as a running request until it is dropped.
pub(crate) struct Reply {
    pub(crate) response: Response,
    /// Where it came from in the end.
    pub(crate) url: Url,
    pub(crate) permit: OwnedSemaphorePermit,
    /// When it was asked for, the permit once had.
    pub(crate) asked: Instant,
}

/// An answer with all of its body.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Whole {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// This reply, if it has one of these statuses; else what the registry says.
    pub(crate) async fn expect(self, host: &Host, statuses: &[u16]) -> Result<Self, Failure> {
        if statuses.contains(&self.status()) {
            return Ok(self);
        }
        Err(Failure::of_status(self.refusal(host).await))
    }

    /// What the registry says.
    pub(crate) async fn refusal(self, host: &Host) -> Refusal {
        refusal(self.response, host.patience()).await
    }

    /// The whole body.
    pub(crate) async fn bytes(self, host: &Host, limit: u64) -> Result<Vec<u8>, Failure> {
        let bytes = read_bounded(self.response, limit, host.patience()).await;
        drop(self.permit);
        bytes
    }

    /// The body to come, and what counts as a running request.
    pub(crate) fn into_stream(
        self,
    ) -> (impl futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin, OwnedSemaphorePermit) {
        (Box::pin(self.response.bytes_stream()), self.permit)
    }

    /// Reads away what is left, if it is little, so that the connection can be used again.
    pub(crate) async fn finish(self, host: &Host) {
        let _ = self.bytes(host, LARGEST_ERROR).await;
    }
}
