//! Requests and answers of the hosted API, and what their failures mean.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use port_model::{Digest, FileName, Reference, Variant};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::HostedApi;
use super::patience::{Pace, Patience};
use crate::backend::Publication;
use crate::error::{BackendError, ErrorKind};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer that is no file, in bytes: two documents and what is around them.
const LARGEST: usize = 32 * 1024 * 1024;
/// By this header, a server shows that it has more than the two published routes.
const OURS: &str = "x-port-control-plane";
/// The metadata of a push.
pub(super) const TRANSFER: &str = "x-port-artifact-transfer";

/// The client; a redirect would carry the token elsewhere. Its own timeouts count from the beginning of a request, however much moves
/// meanwhile, so there are none (`patience.rs`).
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Installing twice is harmless: the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("port/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// One operation on one variant.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) api: &'a HostedApi,
    pub(super) operation: &'a str,
    pub(super) reference: &'a Reference,
    pub(super) variant: Variant,
}

/// Who answered a question that is not among the published ones.
pub(super) enum Answered<T> {
    /// Port's server.
    Ours(T),
    /// A server that knows push and pull.
    Others,
}

/// How far a file is at the server.
#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) held: bool,
    pub(super) offset: u64,
}

/// What is published of a variant.
#[derive(Deserialize)]
pub(super) struct Resolved {
    pub(super) files: Vec<ResolvedFile>,
    pub(super) documents: Option<ResolvedDocuments>,
}

#[derive(Deserialize)]
pub(super) struct ResolvedFile {
    pub(super) filename: FileName,
    pub(super) size: u64,
    pub(super) digest: Option<Digest>,
}

#[derive(Deserialize)]
pub(super) struct ResolvedDocuments {
    pub(super) manifest: String,
    pub(super) config: String,
}

/// A request that did not do what it should.
pub(super) struct Failed {
    pub(super) kind: ErrorKind,
    pub(super) reason: Box<dyn Error + Send + Sync>,
    /// Whether another try may end otherwise.
    pub(super) again: bool,
}

impl Failed {
    fn no_answer(error: reqwest::Error) -> Self {
        // Its text repeats the URL, which the error around it names.
        let error = error.without_url();
        Self { kind: ErrorKind::Unavailable, reason: error.into(), again: true }
    }

    /// Nothing moved for as long as that.
    pub(super) fn stalled(patience: Duration) -> Self {
        let reason = format!("nothing moved for {} seconds", patience.as_secs_f32());
        Self { kind: ErrorKind::Unavailable, reason: reason.into(), again: true }
    }

    /// The server drips.
    pub(super) fn too_slow(patience: Patience) -> Self {
        let reason = format!("it sends less than {} bytes per second", patience.least_rate);
        Self { kind: ErrorKind::Unavailable, reason: reason.into(), again: true }
    }

    pub(super) fn final_of(kind: ErrorKind, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, reason: reason.into(), again: false }
    }
}

impl Call<'_> {
    /// The metadata that both published routes take (acceptance Pu-29).
    pub(super) fn metadata(&self, file: &FileName) -> Value {
        let (reference, variant) = (self.reference, self.variant);
        json!({
            "artifact_name": self.api.access.artifact_name,
            "reference": self.wire_reference(),
            "selector": variant,
            "filename": file,
            "store_path": self.api.path(reference, variant, file),
        })
    }

    fn wire_reference(&self) -> Value {
        let reference = self.reference;
        json!({
            "registry": reference.registry(),
            "repository": reference.repository(),
            "version": reference.version(),
        })
    }

    /// A request that shows who asks (acceptance P-61, Pu-30).
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let access = &self.api.access;
        let request = self.api.http.request(method, format!("{}{path}", access.endpoint));
        let request = request.header(&access.header, format!("Bearer {}", access.token.expose()));
        request.header("x-port-audience", &access.audience)
    }

    /// Sends a small request; what comes back has a status of success.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failed> {
        self.accepted(self.answer(request).await?).await
    }

    /// Sends a request with a file, for which the caller looks whether something moves.
    pub(super) async fn send_unwatched(&self, request: RequestBuilder) -> Result<Response, Failed> {
        self.accepted(request.send().await.map_err(Failed::no_answer)?).await
    }

    async fn accepted(&self, response: Response) -> Result<Response, Failed> {
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    /// The answer to a small request, whatever its status.
    pub(super) async fn answer(&self, request: RequestBuilder) -> Result<Response, Failed> {
        let stall = self.api.patience.stall;
        let answer = tokio::time::timeout(stall, request.send()).await;
        answer.map_err(|_| Failed::stalled(stall))?.map_err(Failed::no_answer)
    }

    /// The next bytes of an answer; none at its end.
    pub(super) async fn piece(&self, response: &mut Response) -> Result<Option<Bytes>, Failed> {
        let stall = self.api.patience.stall;
        let piece = tokio::time::timeout(stall, response.chunk()).await;
        piece.map_err(|_| Failed::stalled(stall))?.map_err(Failed::no_answer)
    }

    /// Reads an answer that is no file, within a size and a time.
    pub(super) async fn read(&self, mut response: Response) -> Result<Vec<u8>, Failed> {
        let (mut bytes, mut pace) = (Vec::new(), Pace::new(self.api.patience));
        loop {
            let since = Instant::now();
            let Some(piece) = self.piece(&mut response).await? else { return Ok(bytes) };
            bytes.extend_from_slice(&piece);
            if bytes.len() > LARGEST {
                let reason = format!("the answer is larger than {LARGEST} bytes, the most that is read here");
                return Err(Failed::final_of(ErrorKind::Corrupt, reason));
            }
            if !pace.keeps(since, piece.len() as u64) {
                return Err(Failed::too_slow(self.api.patience));
            }
        }
    }

    async fn refused(&self, response: Response) -> Failed {
        let status = response.status();
        refusal(status, &self.read(response).await.unwrap_or_default())
    }

    /// The failure as the caller's error.
    pub(super) fn failed(&self, failed: Failed) -> BackendError {
        let location = format!("{} ({})", self.api.access.endpoint, self.reference);
        BackendError::new(failed.kind, location, self.operation, failed.reason)
    }

    async fn ask(&self, route: &str, body: &Value) -> Result<Answered<Value>, BackendError> {
        let request = self.request(Method::POST, route).header("content-type", "application/json");
        let request = request.body(body.to_string());
        let response = self.answer(request).await.map_err(|failed| self.failed(failed))?;
        let is_ours = response.headers().contains_key(OURS);
        let unknown = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
        if !is_ours && unknown.contains(&response.status()) {
            return Ok(Answered::Others);
        }
        if !response.status().is_success() {
            return Err(self.failed(self.refused(response).await));
        }
        let bytes = self.read(response).await.map_err(|failed| self.failed(failed))?;
        let mut answer: Value = serde_json::from_slice(&bytes)
            .map_err(|error| self.failed(Failed::final_of(ErrorKind::Corrupt, error)))?;
        Ok(Answered::Ours(answer.get_mut("result").map(Value::take).unwrap_or_default()))
    }

    fn understood<T: serde::de::DeserializeOwned>(&self, answer: Value) -> Result<T, BackendError> {
        serde_json::from_value(answer)
            .map_err(|error| self.failed(Failed::final_of(ErrorKind::Corrupt, error)))
    }

    /// How far a file is.
    pub(super) async fn status(
        &self,
        file: &FileName,
        digest: &Digest,
    ) -> Result<Answered<Status>, BackendError> {
        let mut body = self.metadata(file);
        if let Some(fields) = body.as_object_mut() {
            fields.insert("digest".to_owned(), digest.to_string().into());
        }
        match self.ask("/v1/artifacts:status", &body).await? {
            Answered::Ours(answer) => Ok(Answered::Ours(self.understood(answer)?)),
            Answered::Others => Ok(Answered::Others),
        }
    }

    /// What is published.
    pub(super) async fn resolve(&self) -> Result<Answered<Resolved>, BackendError> {
        let body = json!({"reference": self.wire_reference(), "selector": self.variant});
        match self.ask("/v1/artifacts:resolve", &body).await? {
            Answered::Ours(answer) => Ok(Answered::Ours(self.understood(answer)?)),
            Answered::Others => Ok(Answered::Others),
        }
    }

    /// Publishes files that are there, as far as `extent` says.
    pub(super) async fn publish(&self, publication: &Publication, extent: &str) -> Result<(), BackendError> {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec());
            text.map_err(|error| self.failed(Failed::final_of(ErrorKind::Unsupported, error)))
        };
        let files =
            publication.files.iter().map(|file| json!({"filename": file.name, "digest": file.digest}));
        let body = json!({
            "reference": self.wire_reference(),
            "selector": self.variant,
            "files": files.collect::<Vec<_>>(),
            "manifest": text(&publication.documents.manifest)?,
            "config": text(&publication.documents.config)?,
            "publish": extent,
        });
        match self.ask("/v1/artifacts:publish", &body).await? {
            Answered::Ours(_) => Ok(()),
            Answered::Others => {
                let reason = "the server takes files and no longer what describes them";
                Err(self.failed(Failed::final_of(ErrorKind::Unsupported, reason)))
            }
        }
    }
}

/// What a status means, with the message that came along.
fn refusal(status: StatusCode, body: &[u8]) -> Failed {
    let message = serde_json::from_slice::<Value>(body).ok();
    let message = message.as_ref().and_then(|answer| answer.get("message")?.as_str()).unwrap_or_default();
    let message: String = message.chars().filter(|c| !c.is_control()).take(500).collect();
    let kind = match status {
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => ErrorKind::Conflict,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Failed,
    };
    let again = status.is_server_error() && status != StatusCode::INSUFFICIENT_STORAGE
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::CONFLICT;
    let reason = if message.is_empty() {
        format!("the server answered {status}")
    } else {
        format!("the server answered {status}: {message}")
    };
    Failed { kind, reason: reason.into(), again }
}
