//! Who changed what, for good: JSON lines, each naming the hash of the one before, flushed to the disk before the client is told.
//!
//! ```text
//! {"sequence":7,"time":"…","previous":"<SHA-256 of line 6>","request_id":…,"principal":…,"method":…,"path":…,"status":…}
//! ```
//!
//! A line that was changed, removed or put in breaks the chain behind it. What was cut off at the end, or a log that was written anew, is
//! found by whoever noted a head ([`Head`]) elsewhere. Never in it: tokens, queries, bodies.
//!
//! CRASH: a kill leaves at most a torn last line, which nobody was told about; the next start drops it and says so in the log.
//! Requests that end at the same time share one flush.

mod chain;
#[cfg(test)]
mod tests;
mod writer;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use port_content::FsError;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

pub use chain::{Head, Verified, verify};

use crate::gate::Clock;
use writer::Writer;

/// How many entries wait for the disk before requests wait as well.
const WAITING: usize = 1024;

/// What is recorded of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name that the client got in `x-request-id`.
    pub request_id: String,
    /// Who asked.
    pub remote: IpAddr,
    /// Who asked, by name; nothing where nobody was let in.
    pub principal: Option<String>,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// What it was about, where the path does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The digest of what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The status.
    pub status: u16,
    /// Bytes of the request's body, as announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
}

/// Why something cannot be recorded, or a log cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FsError),
    /// Another server writes it.
    #[error("another process writes the audit log `{0}`: each server needs its own")]
    Locked(PathBuf),
    /// A line is not what the one behind it, or its place, says.
    #[error("the audit log `{path}` was changed at line {line}: {reason}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A line is longer than any that is written.
    #[error("the audit log `{path}` has a line of more than {limit} bytes at line {line}")]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The head that was noted is not in it.
    #[error("the audit log `{path}` does not hold line {expected}: it was cut, or written anew")]
    HeadMissing {
        /// Which file.
        path: PathBuf,
        /// The head that was noted.
        expected: Head,
    },
    /// The thread that writes has ended.
    #[error("the audit log is closed")]
    Closed,
    /// An earlier entry could not be written.
    #[error("the audit log could not be written: {0}")]
    Failed(String),
}

pub(crate) struct Waiting {
    entry: Entry,
    done: oneshot::Sender<Result<(), AuditError>>,
}

/// See the module.
pub struct Audit {
    entries: mpsc::Sender<Waiting>,
    broken: Arc<AtomicBool>,
}

impl Audit {
    /// Goes on with the log at `path`, or begins it. What is in it is checked first.
    ///
    /// # Errors
    /// [`AuditError`]: the file cannot be used, another server has it, or somebody changed it.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, AuditError> {
        let broken = Arc::<AtomicBool>::default();
        let mut writer = Writer::open(path, clock, Arc::clone(&broken))?;
        let (entries, waiting) = mpsc::channel(WAITING);
        // A thread of its own: it waits for the disk all the time.
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let spawned = thread.spawn(move || writer.run(waiting));
        spawned.map_err(|source| FsError::new("start the writer of", path, source))?;
        Ok(Self { entries, broken })
    }

    /// Whether the last entry could not be written. The next one tries again.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Records an entry; it is on the disk when this returns.
    pub(crate) async fn record(&self, entry: Entry) -> Result<(), AuditError> {
        let (done, recorded) = oneshot::channel();
        self.entries.send(Waiting { entry, done }).await.map_err(|_| AuditError::Closed)?;
        recorded.await.unwrap_or(Err(AuditError::Closed))
    }
}
