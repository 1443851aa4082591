//! What the server tells of its work: one record per request, one event per turn of its life. A seam: the command line writes lines of
//! it, and whatever counts or audits listens here as well. Nothing here prints, and no secret comes here.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use crate::catalog::collect::Round;

/// Why a request failed, for the operator: the whole chain of errors. Travels with the answer to the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause(pub(crate) String);

impl Cause {
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        Self(text)
    }
}

/// What a request was about, where its path does not say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject(pub(crate) String);

/// One request that was answered. The body of the answer may still be on its way.
#[derive(Debug, Clone, Serialize)]
pub struct RequestRecord {
    /// The name that the client got in `x-request-id`.
    pub request_id: String,
    /// Who asked.
    pub remote: SocketAddr,
    /// Who asked, by name; nothing where nobody was let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The status.
    pub status: u16,
    /// Bytes of the request's body, as announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// Bytes of the answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// How long until the answer began.
    pub microseconds: u64,
    /// What went wrong inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A turn in the server's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// It answers from now on.
    Listening {
        /// Where.
        address: SocketAddr,
        /// What it serves.
        storage: String,
    },
    /// It takes no new connections and ends those that are there.
    Draining,
    /// It has ended.
    Stopped {
        /// Whether every request was answered.
        complete: bool,
    },
    /// A round of collection is over.
    Collected(Round),
    /// A blob's bytes were not its own; it is put aside and served no more.
    Quarantined {
        /// Which blob.
        digest: String,
        /// Who has it, and cannot pull it until somebody pushes it anew.
        repositories: Vec<String>,
    },
    /// Collection or scrubbing failed; it is tried again.
    MaintenanceFailed {
        /// Which of them.
        work: &'static str,
        /// Why.
        reason: String,
    },
    /// Another certificate is shown from now on.
    CertificateChanged,
    /// The files of the certificate cannot be used; the one from before stays.
    CertificateRefused {
        /// Why.
        reason: String,
    },
    /// The audit log cannot be written: nothing is changed until it can.
    AuditFailed {
        /// Why.
        reason: String,
    },
    /// A connection could not be taken.
    AcceptFailed {
        /// Why.
        reason: String,
    },
}

/// Listens. Called on the way of every request, so it must not block for long.
pub trait Observer: Send + Sync + 'static {
    /// A request was answered.
    fn request(&self, record: &RequestRecord);
    /// The server turned.
    fn event(&self, event: &Event);
}

pub(crate) fn microseconds(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}
