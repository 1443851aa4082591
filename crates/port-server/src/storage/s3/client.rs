//! Requests to one bucket: signed, with a bounded number of tries, and answers of bounded size.
//!
//! Everything that S3 does here may be asked for twice: bytes are in memory, and what a repeated conditional write means is decided by
//! whoever sent it (`Failure::is_uncertain`). Between tries is a pause that doubles, with some chance in it, so that servers that
//! failed together do not come back together.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use port_content::hashing::digest_of;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};

use super::address::{Bucket, Credentials, Endpoint, Region};
use super::failure::Failure;
use super::sign::{self, Signed};
use super::xml::Element;
use crate::gate::Clock;
use crate::random;

/// How often something is tried in all.
pub(super) const TRIES: u32 = 6;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the server may say nothing. Putting many parts together takes it a while.
pub(super) const STALL: Duration = Duration::from_secs(60);
/// How fast a body goes at least, in bytes per second: it has so much more time until the answer.
const LEAST_RATE: u64 = 64 << 10;
/// From how many bytes on a digest is computed where it holds up nobody.
const MUCH: usize = 64 << 10;
/// The largest document of S3 that is read: a page of a listing has a thousand entries.
const LARGEST_DOCUMENT: u64 = 8 << 20;
/// How much of an error's document is read.
const LARGEST_ERROR: u64 = 64 << 10;

/// See the module.
pub(super) struct Client {
    http: reqwest::Client,
    bucket: Bucket,
    endpoint: Endpoint,
    region: Region,
    credentials: Credentials,
    clock: Clock,
    patience: Patience,
}

/// How long is waited, for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The first pause between two tries.
    pub(super) pause: Duration,
    /// How long the server may say nothing.
    pub(super) stall: Duration,
}

/// One request. Headers have names in lower case.
pub(super) struct Request {
    method: Method,
    /// As it is called here; nothing: the bucket itself.
    key: Option<String>,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Request {
    pub(super) fn new(method: Method, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..Self::to_bucket(method) }
    }

    pub(super) fn to_bucket(method: Method) -> Self {
        Self { method, key: None, query: Vec::new(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(super) fn body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }
}

/// An answer that is none of an error.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    /// The body, where it was asked for as a whole.
    pub(super) bytes: Bytes,
    /// The rest, where it was not.
    pub(super) response: Option<Response>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn etag(&self) -> Result<String, Failure> {
        self.header("etag").map(str::to_owned).ok_or(Failure::Malformed("has no ETag"))
    }

    pub(super) fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.bytes).map_err(|_| Failure::Malformed("is not UTF-8"))
    }
}

/// How much of an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// Its head; the body is the caller's.
    Head,
    /// All of it, of at most so many bytes.
    Bytes(u64),
    /// A document of S3, which may turn out to be an error under the status 200.
    Document,
}

impl Client {
    pub(super) fn new(
        bucket: Bucket,
        endpoint: Endpoint,
        region: Region,
        credentials: Credentials,
        clock: Clock,
        patience: Patience,
    ) -> Result<Self, reqwest::Error> {
        // Installing twice is harmless: the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .user_agent(concat!("port/", env!("CARGO_PKG_VERSION")))
            // NOTE: no timeout of reads here: it begins with the request, and ends large bodies that are on their way.
            .connect_timeout(CONNECT)
            // A redirect names another region, whose signature is another one.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true);
        // A server on this very host is not reached by way of a proxy.
        let builder = if endpoint.is_loopback() { builder.no_proxy() } else { builder };
        // No roots are needed in the clear, and a host may have none.
        let builder = if endpoint.is_plain() { builder.tls_certs_only([]) } else { builder };
        let http = builder.build()?;
        Ok(Self { http, bucket, endpoint, region, credentials, clock, patience })
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The place of an object as the headers of copies name it.
    pub(super) fn copy_source(&self, key: &str) -> String {
        sign::encoded_path(&format!("/{}/{}", self.bucket.name(), self.bucket.object(key)))
    }

    /// Sends a request until there is an answer, or no hope.
    pub(super) async fn send(&self, request: &Request, take: Take) -> Result<Answer, Failure> {
        let mut uncertain = false;
        let digest = digest(&request.body).await?;
        for tried in 1.. {
            let failure = match self.once(request, &digest, take).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !failure.is_passing() || tried >= TRIES {
                return Err(if uncertain { failure.after_uncertain() } else { failure });
            }
            uncertain |= !failure.is_before_anything();
            self.wait(tried).await;
        }
        Err(Failure::Malformed("never came"))
    }

    /// Waits before the next try.
    pub(super) async fn wait(&self, tried: u32) {
        let pause =
            self.patience.pause.saturating_mul(1 << tried.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
        // Between half of it and all of it; without random numbers all of it.
        let chance = random::hex().ok().and_then(|hex| u32::from_str_radix(hex.get(..2)?, 16).ok());
        tokio::time::sleep(pause.saturating_mul(256 + chance.unwrap_or(255)) / 512).await;
    }

    /// What comes next of a body; nothing at its end.
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Failure> {
        let stall = self.patience.stall;
        let some = tokio::time::timeout(stall, response.chunk()).await;
        some.map_err(|_| Failure::Stalled { stall })?.map_err(|error| Failure::Broken(error.without_url()))
    }

    async fn once(&self, request: &Request, digest: &str, take: Take) -> Result<Answer, Failure> {
        let sending = Duration::from_secs(request.body.len() as u64 / LEAST_RATE);
        let stall = self.patience.stall.saturating_add(sending);
        let sent = tokio::time::timeout(stall, self.built(request, digest)?.send()).await;
        let response = sent.map_err(|_| Failure::Stalled { stall })?.map_err(|error| self.broken(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let region = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
            // What does not come of it is not missed.
            let body = self.collect(response, LARGEST_ERROR).await.unwrap_or_default();
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(Failure::of_answer(status.as_u16(), region, &body));
        }
        let limit = match take {
            Take::Head => return Ok(Answer { headers, bytes: Bytes::new(), response: Some(response) }),
            Take::Bytes(limit) => limit,
            Take::Document => LARGEST_DOCUMENT,
        };
        let answer = Answer { headers, bytes: self.collect(response, limit).await?, response: None };
        if take == Take::Document && Element::root(answer.text()?).is_some_and(|(name, _)| name == "Error") {
            return Err(Failure::of_answer(status.as_u16(), None, answer.text()?));
        }
        Ok(answer)
    }

    fn built(&self, request: &Request, digest: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let object = request.key.as_ref().map(|key| self.bucket.object(key)).unwrap_or_default();
        let path = format!("/{}/{object}", self.bucket.name());
        let path = sign::encoded_path(path.trim_end_matches('/'));
        let query = sign::encoded_query(&request.query);
        let mut headers = request.headers.clone();
        headers.push(("host", self.endpoint.host().to_owned()));
        let signed = Signed {
            method: request.method.as_str(),
            path: &path,
            query: &query,
            headers: &headers,
            body: digest,
        };
        let added = sign::sign(&signed, self.region.as_str(), &self.credentials, (self.clock)());
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{mark}{query}", self.endpoint.origin());
        let mut builder = self.http.request(request.method.clone(), url);
        // The client names the host itself.
        for (name, value) in request.headers.iter().chain(&added) {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| Failure::Malformed("had something that no header can repeat"))?;
            value.set_sensitive(matches!(*name, "authorization" | "x-amz-security-token"));
            builder = builder.header(HeaderName::from_static(name), value);
        }
        if matches!(request.method, Method::PUT | Method::POST) {
            builder = builder.header("content-length", request.body.len()).body(request.body.clone());
        }
        Ok(builder)
    }

    fn broken(&self, error: reqwest::Error) -> Failure {
        let connect = error.is_connect();
        let source = error.without_url();
        let host = self.endpoint.host().to_owned();
        if connect { Failure::Unreachable { host, source } } else { Failure::Broken(source) }
    }

    /// The whole body, of at most `limit` bytes.
    async fn collect(&self, mut response: Response, limit: u64) -> Result<Bytes, Failure> {
        let expected = response.content_length();
        if expected.is_some_and(|length| length > limit) {
            return Err(Failure::TooLarge { limit });
        }
        let mut bytes = BytesMut::new();
        while let Some(piece) = self.chunk(&mut response).await? {
            if (bytes.len() as u64).saturating_add(piece.len() as u64) > limit {
                return Err(Failure::TooLarge { limit });
            }
            bytes.extend_from_slice(&piece);
        }
        match expected {
            Some(expected) if expected != bytes.len() as u64 => {
                Err(Failure::Cut { expected, found: bytes.len() as u64 })
            }
            _ => Ok(bytes.freeze()),
        }
    }
}

/// The SHA-256 of a body, in hex.
async fn digest(body: &Bytes) -> Result<String, Failure> {
    let of = |body: &Bytes| digest_of(body).hex().to_owned();
    if body.len() <= MUCH {
        return Ok(of(body));
    }
    let body = body.clone();
    tokio::task::spawn_blocking(move || of(&body)).await.map_err(Failure::Ended)
}
