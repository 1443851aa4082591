//! How much is allowed. Every number has a default that a small server lives with.

use std::time::Duration;

use crate::gate::Pattern;
use crate::limiter::PerClient;
use crate::name::RepositoryName;
use crate::pace::LeastRate;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time; more wait to be taken.
    pub connections: usize,
    /// Connections of one client address at the same time; more are closed at once.
    pub connections_per_client: usize,
    /// Requests of one client address in a second; as many as come where nothing is said.
    pub requests_per_second: Option<u32>,
    /// Wrong tokens of one client address; one more is forgiven each second.
    pub wrong_tokens: u32,
    /// How long the head of a request may take, and a connection may idle.
    pub head: Duration,
    /// How long TLS may take to begin.
    pub handshake: Duration,
    /// How slowly a client may send a body or take an answer.
    pub least_rate: LeastRate,
    /// Uploads that one caller may have begun and not ended.
    pub uploads_per_caller: usize,
    /// The largest blobs, by repository; the first that fits counts.
    pub blobs: Vec<BlobLimit>,
    /// How often the files of the certificate are looked at.
    pub certificate: Duration,
    /// How long requests under way may take when the server is told to stop.
    pub drain: Duration,
}

/// The largest blob of some repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobLimit {
    /// Which ones.
    pub repositories: Pattern,
    /// In bytes.
    pub largest: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_client: 1024,
            requests_per_second: None,
            wrong_tokens: 100,
            head: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            least_rate: LeastRate { span: Duration::from_secs(30), bytes_per_second: 1024 },
            uploads_per_caller: 1000,
            blobs: Vec::new(),
            certificate: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

impl Limits {
    pub(crate) fn per_client(&self) -> PerClient {
        PerClient {
            connections: self.connections_per_client,
            requests_per_second: self.requests_per_second,
            wrong_tokens: self.wrong_tokens,
        }
    }
}

/// The largest blob that a repository takes.
pub(crate) fn largest_blob(limits: &[BlobLimit], repository: &RepositoryName) -> u64 {
    let fits = |limit: &&BlobLimit| limit.repositories.covers(repository);
    limits.iter().find(fits).map_or(u64::MAX, |limit| limit.largest)
}
