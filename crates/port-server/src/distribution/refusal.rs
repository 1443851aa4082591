//! Why a request is refused, with the codes of the distribution-spec. The only map from failures to status codes at `/v2/`.

use hyper::StatusCode;
use serde_json::json;

use super::Source;
use crate::catalog::{BodyError, DraftError, ManifestError, UploadError};
use crate::gate::{Action, Denial, Principal};
use crate::http::{self, Answer, Set as _};
use crate::name::RepositoryName;
use crate::observe::Cause;
use crate::storage::{StorageError, StorageErrorKind};

/// See the module.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(&'static str, String)>,
    /// What the operator should know and the client should not.
    cause: Option<Cause>,
    /// What the client's token should have been asked for as well.
    source: Option<Source>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new(), cause: None, source: None }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is nothing at this path")
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "this path does not take that method")
    }

    pub(super) fn name(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message)
    }

    pub(super) fn name_unknown(repository: &RepositoryName) -> Self {
        let message = format!("there is no repository `{repository}`");
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message)
    }

    pub(super) fn digest(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub(super) fn request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", message)
    }

    pub(super) fn size(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", message)
    }

    pub(super) fn tag(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "TAG_INVALID", message)
    }

    pub(super) fn blob_unknown(digest: &port_model::Digest) -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("the repository has no blob {digest}"))
    }

    pub(super) fn manifest_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "the repository has no such manifest")
    }

    pub(super) fn upload_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
    }

    pub(super) fn range(message: impl Into<String>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message)
    }

    pub(super) fn precondition(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "DENIED", message)
    }

    /// Somebody without a token is asked for one, others are told that theirs is not enough.
    pub(super) fn not_allowed(principal: &Principal, action: Action, repository: &RepositoryName) -> Self {
        if principal.is_anonymous() {
            return Self::denial(Denial::NoToken);
        }
        // The client asks for a token that was made for this, and learns there whether it may.
        if principal.narrowed.as_ref().is_some_and(|narrowed| !narrowed.has(action, repository)) {
            return Self::denial(Denial::Narrow);
        }
        let message = format!("this token may not do that in `{repository}`");
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    /// What the gate said.
    pub(crate) fn denial(denial: Denial) -> Self {
        if denial == Denial::Unavailable {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNKNOWN", denial.to_string());
        }
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", denial.to_string())
            .header("www-authenticate", "Basic realm=\"port\"")
    }

    /// A token is asked for that reads this repository as well.
    pub(super) fn source(repository: RepositoryName) -> Self {
        Self { source: Some(Source(repository)), ..Self::denial(Denial::Narrow) }
    }

    /// The answer that says so.
    pub(crate) fn answer(self) -> Answer {
        let body = json!({"errors": [{"code": self.code, "message": self.message}]});
        let mut answer = http::json(self.status, &body);
        if let Some(cause) = self.cause {
            answer.extensions_mut().insert(cause);
        }
        if let Some(source) = self.source {
            answer.extensions_mut().insert(source);
        }
        self.headers.into_iter().fold(answer, |answer, (name, value)| answer.set(name, value))
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        // What lies behind it is for the log: paths and errors of the server are nothing for its clients.
        let cause = Some(Cause::of(&error));
        let refusal = match error.kind {
            StorageErrorKind::Full => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", "the storage is full")
            }
            StorageErrorKind::ReadOnly => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNKNOWN", "the storage takes no changes now")
            }
            StorageErrorKind::Failed => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the storage failed")
            }
        };
        Self { cause, ..refusal }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Cut(_) => Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", error.to_string()),
            BodyError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", error.to_string())
            }
            BodyError::Slow(_) => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", error.to_string())
                    .header("connection", "close")
            }
        }
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Unknown => Self::upload_unknown(),
            UploadError::OutOfOrder { .. } => Self::range(error.to_string()),
            UploadError::Digest { .. } => Self::digest(error.to_string()),
            UploadError::Body(error) => error.into(),
            UploadError::TooMany { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", error.to_string())
                    .header("retry-after", "60")
            }
            UploadError::Random(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string())
            }
            UploadError::Storage(error) => error.into(),
        }
    }
}

impl From<ManifestError> for Refusal {
    fn from(error: ManifestError) -> Self {
        let message = error.to_string();
        match error {
            ManifestError::Draft(DraftError::TooMany { .. }) => Self::size(message),
            ManifestError::Draft(_) => Self::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message),
            ManifestError::Digest { .. } => Self::digest(message),
            ManifestError::BlobUnknown { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", message)
            }
            ManifestError::Moved { .. } => Self::precondition(message),
            ManifestError::Storage(error) => error.into(),
        }
    }
}
