//! What the hosted API answers: `{route, result}`, and `{route, message}` where something is wrong (acceptance Pu-32). The only map
//! from failures to status codes at `/v1/`.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::catalog::{BodyError, ManifestError, UploadError};
use crate::gate::{Denial, Principal};
use crate::http::{self, Answer, Set as _};
use crate::name::RepositoryName;
use crate::observe::Cause;
use crate::storage::{StorageError, StorageErrorKind};

/// Names the control plane that answered.
pub(super) const CONTROL_PLANE: &str = "x-port-control-plane";

/// Which route answered.
#[derive(Debug, Serialize)]
struct Route<'a> {
    method: &'static str,
    path: &'a str,
    control_plane: &'a str,
}

fn route<'a>(path: &'a str, control_plane: &'a str) -> Route<'a> {
    Route { method: "POST", path, control_plane }
}

/// The answer of a route that did what it was asked to.
pub(super) fn done(path: &str, control_plane: &str, result: &impl Serialize) -> Answer {
    http::json(StatusCode::OK, &json!({"route": route(path, control_plane), "result": result}))
}

/// See the module.
#[derive(Debug)]
pub(crate) struct HostedError {
    status: StatusCode,
    message: String,
    /// Where an upload ends, for a client that wanted to continue elsewhere.
    offset: Option<u64>,
    cause: Option<Cause>,
}

impl HostedError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), offset: None, cause: None }
    }

    pub(super) fn metadata(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(super) fn range(message: impl Into<String>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, message)
    }

    pub(super) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes POST only")
    }

    pub(super) fn not_allowed(principal: &Principal, repository: &RepositoryName) -> Self {
        if principal.is_anonymous() {
            return Self::denial(Denial::NoToken);
        }
        Self::new(StatusCode::FORBIDDEN, format!("this token may not do that in `{repository}`"))
    }

    /// What the gate said.
    pub(crate) fn denial(denial: Denial) -> Self {
        let status = match denial {
            Denial::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        };
        Self::new(status, denial.to_string())
    }

    /// The answer that says so.
    pub(crate) fn answer(self, path: &str, control_plane: &str) -> Answer {
        let mut body = json!({"route": route(path, control_plane), "message": self.message});
        if let (Some(offset), Some(fields)) = (self.offset, body.as_object_mut()) {
            fields.insert("offset".to_owned(), offset.into());
        }
        let mut answer = http::json(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            answer = answer.set("www-authenticate", "Bearer realm=\"port\"");
        }
        if let Some(cause) = self.cause {
            answer.extensions_mut().insert(cause);
        }
        answer
    }
}

impl From<StorageError> for HostedError {
    fn from(error: StorageError) -> Self {
        let (status, message) = match error.kind {
            StorageErrorKind::Full => (StatusCode::INSUFFICIENT_STORAGE, "the storage is full"),
            StorageErrorKind::ReadOnly => {
                (StatusCode::SERVICE_UNAVAILABLE, "the storage takes no changes now")
            }
            StorageErrorKind::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "the storage failed"),
        };
        Self { cause: Some(Cause::of(&error)), ..Self::new(status, message) }
    }
}

impl From<BodyError> for HostedError {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::Cut(_) => StatusCode::BAD_REQUEST,
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Slow(_) => StatusCode::REQUEST_TIMEOUT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<UploadError> for HostedError {
    fn from(error: UploadError) -> Self {
        let message = error.to_string();
        match error {
            UploadError::Unknown => Self::conflict("the upload is gone; begin again"),
            UploadError::OutOfOrder { offset } => Self { offset: Some(offset), ..Self::conflict(message) },
            UploadError::Digest { .. } => Self::metadata(message),
            UploadError::Body(error) => error.into(),
            UploadError::TooMany { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, message),
            UploadError::Random(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, message),
            UploadError::Storage(error) => error.into(),
        }
    }
}

impl From<ManifestError> for HostedError {
    fn from(error: ManifestError) -> Self {
        let message = error.to_string();
        match error {
            ManifestError::Moved { .. } | ManifestError::BlobUnknown { .. } => Self::conflict(message),
            ManifestError::Storage(error) => error.into(),
            ManifestError::Draft(_) | ManifestError::Digest { .. } => Self::metadata(message),
        }
    }
}
