//! What is counted: requests by class and status, bytes, connections, and what the last round of collection found. Told to whoever asks
//! at `/metrics`, in Prometheus' text form, and on the page at `/`.
//!
//! No label carries a name from a request: their number is bounded, and they tell nothing of what is stored.

mod text;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Method;
use jiff::Timestamp;

pub(crate) use text::MEDIA_TYPE;

use crate::catalog::collect::{Round, Stock};
use crate::name::RepositoryName;
use crate::observe::RequestRecord;

/// Upper bounds of the buckets for durations, in microseconds.
pub(crate) const BOUNDS: [u64; 10] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];
/// How many changes are remembered for the page.
const MOST_CHANGES: usize = 30;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Blob,
    Upload,
    Manifest,
    List,
    Registry,
    HostedPush,
    HostedPull,
    Hosted,
    Page,
    Operations,
    Other,
}

impl Class {
    /// By the path alone, as the faces read it.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/artifacts:push" => return Self::HostedPush,
            "/v1/artifacts:pull" => return Self::HostedPull,
            "/healthz" | "/readyz" | "/metrics" => return Self::Operations,
            _ => {}
        }
        if path == "/v2" || path.starts_with("/v2/") {
            let kind = path.rsplit('/').nth(1).unwrap_or("");
            return match kind {
                _ if path.contains("/blobs/uploads") => Self::Upload,
                "blobs" => Self::Blob,
                "manifests" => Self::Manifest,
                "tags" | "referrers" => Self::List,
                _ => Self::Registry,
            };
        }
        if path.starts_with("/v1/") {
            Self::Hosted
        } else if path == "/" || path.starts_with("/repositories/") || path.starts_with("/-/") {
            Self::Page
        } else {
            Self::Other
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Upload => "upload",
            Self::Manifest => "manifest",
            Self::List => "list",
            Self::Registry => "registry",
            Self::HostedPush => "hosted-push",
            Self::HostedPull => "hosted-pull",
            Self::Hosted => "hosted",
            Self::Page => "page",
            Self::Operations => "operations",
            Self::Other => "other",
        }
    }
}

/// The methods that are told apart; a client may invent more.
fn method_word(method: &str) -> &'static str {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
        .iter()
        .position(|known| known.as_str() == method)
        .and_then(|at| ["get", "head", "post", "put", "patch", "delete"].get(at).copied())
        .unwrap_or("other")
}

/// One line of counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    pub(crate) requests: u64,
    pub(crate) microseconds: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// How many took at most so long, bucket by bucket, not added up.
    pub(crate) buckets: [u64; BOUNDS.len()],
}

/// What a request changed, as the face that did it says. Travels with the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(crate) repository: RepositoryName,
    /// `published`, `deleted`.
    pub(crate) verb: &'static str,
    /// A tag, a digest, a file.
    pub(crate) what: String,
}

/// A change that a client made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Timestamp,
    pub(crate) principal: String,
    pub(crate) repository: RepositoryName,
    pub(crate) verb: &'static str,
    pub(crate) what: String,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Meters {
    requests: Mutex<BTreeMap<(Class, &'static str, u16), Series>>,
    changes: Mutex<VecDeque<Change>>,
    stock: Mutex<Option<(Timestamp, Stock)>>,
    connections: AtomicU64,
    connections_taken: AtomicU64,
    rounds: AtomicU64,
    swept_blobs: AtomicU64,
    swept_bytes: AtomicU64,
    swept_manifests: AtomicU64,
    swept_uploads: AtomicU64,
    scrubbed_blobs: AtomicU64,
    scrubbed_bytes: AtomicU64,
    quarantined: AtomicU64,
}

/// A connection, counted while this is there.
pub(crate) struct Open(Arc<Meters>);

impl Open {
    pub(crate) fn count(meters: &Arc<Meters>) -> Self {
        meters.connections.fetch_add(1, Ordering::Relaxed);
        meters.connections_taken.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(meters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Nobody reads more.
fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Counters have no state that a panic could leave half-made.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meters {
    /// A request was answered.
    pub(crate) fn request(&self, record: &RequestRecord) {
        let class = Class::of(&record.path);
        let mut requests = locked(&self.requests);
        let series = requests.entry((class, method_word(&record.method), record.status)).or_default();
        series.requests += 1;
        series.microseconds = series.microseconds.saturating_add(record.microseconds);
        series.received = series.received.saturating_add(record.received.unwrap_or(0));
        series.sent = series.sent.saturating_add(record.sent.unwrap_or(0));
        let bucket = BOUNDS.iter().position(|bound| record.microseconds <= *bound);
        if let Some(bucket) = bucket.and_then(|bucket| series.buckets.get_mut(bucket)) {
            *bucket += 1;
        }
    }

    /// Something was changed by somebody.
    pub(crate) fn change(&self, at: Timestamp, principal: &str, touched: &Touched) {
        let Touched { repository, verb, what } = touched.clone();
        let at = to_the_second(at);
        let mut changes = locked(&self.changes);
        changes.truncate(MOST_CHANGES - 1);
        changes.push_front(Change { at, principal: principal.to_owned(), repository, verb, what });
    }

    /// The newest changes first.
    pub(crate) fn changes(&self) -> Vec<Change> {
        locked(&self.changes).iter().cloned().collect()
    }

    /// What the last round of collection counted, and when.
    pub(crate) fn stock(&self) -> Option<(Timestamp, Stock)> {
        *locked(&self.stock)
    }

    pub(crate) fn collected(&self, at: Timestamp, round: &Round) {
        *locked(&self.stock) = Some((to_the_second(at), round.stock));
        self.rounds.fetch_add(1, Ordering::Relaxed);
        self.swept_blobs.fetch_add(round.blobs, Ordering::Relaxed);
        self.swept_bytes.fetch_add(round.bytes, Ordering::Relaxed);
        self.swept_manifests.fetch_add(round.manifests, Ordering::Relaxed);
        self.swept_uploads.fetch_add(round.uploads, Ordering::Relaxed);
    }

    pub(crate) fn scrubbed(&self, bytes: u64) {
        self.scrubbed_blobs.fetch_add(1, Ordering::Relaxed);
        self.scrubbed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn quarantined(&self) {
        self.quarantined.fetch_add(1, Ordering::Relaxed);
    }

    fn series(&self) -> BTreeMap<(Class, &'static str, u16), Series> {
        locked(&self.requests).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(method: &str, path: &str, status: u16, microseconds: u64) -> RequestRecord {
        RequestRecord {
            request_id: "r".to_owned(),
            remote: "127.0.0.1:1".parse().unwrap(),
            principal: Some("ci".to_owned()),
            method: method.to_owned(),
            path: path.to_owned(),
            status,
            received: Some(10),
            sent: Some(20),
            microseconds,
            error: None,
        }
    }

    #[test]
    fn classes_follow_the_path() {
        for (path, expected) in [
            ("/v2/", "registry"),
            ("/v2/_catalog", "registry"),
            ("/v2/a/blobs/c/blobs/sha256:00", "blob"),
            ("/v2/a/manifests/v1", "manifest"),
            ("/v2/a/tags/list", "list"),
            ("/v2/a/blobs/uploads/", "upload"),
            ("/v2/a/blobs/uploads/00", "upload"),
            ("/v1/artifacts:push", "hosted-push"),
            ("/v1/artifacts:status", "hosted"),
            ("/", "page"),
            ("/wp-login.php", "other"),
        ] {
            assert_eq!(Class::of(path).word(), expected, "{path}");
        }
    }

    #[test]
    fn the_text_adds_buckets_up_and_names_nothing_from_requests() {
        let meters = Meters::default();
        meters.request(&record("GET", "/v2/secret/blobs/x", 200, 700));
        meters.request(&record("GET", "/v2/secret/blobs/y", 200, 90_000_000));
        meters.request(&record("BREW", "/teapot", 404, 1));
        meters.request(&record("PUT", "/v2/a/manifests/v1", 201, 1));
        let text = meters.text();
        for line in [
            "port_requests_total{class=\"blob\",method=\"get\",status=\"200\"} 2",
            "port_request_duration_seconds_bucket{class=\"blob\",le=\"0.0005\"} 0",
            "port_request_duration_seconds_bucket{class=\"blob\",le=\"0.001\"} 1",
            "port_request_duration_seconds_bucket{class=\"blob\",le=\"10\"} 1",
            "port_request_duration_seconds_bucket{class=\"blob\",le=\"+Inf\"} 2",
            "port_request_duration_seconds_sum{class=\"blob\"} 90.0007",
            "port_request_bytes_total{class=\"blob\",direction=\"sent\"} 40",
            "port_requests_total{class=\"other\",method=\"other\",status=\"404\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
        assert!(!text.contains("secret") && !text.contains("BREW"), "{text}");
    }

    #[test]
    fn only_the_newest_changes_are_remembered() {
        let meters = Meters::default();
        for number in 0..100 {
            let what = format!("v{number}");
            let touched = Touched { repository: "a".parse().unwrap(), verb: "published", what };
            meters.change(Timestamp::UNIX_EPOCH, "ci", &touched);
        }
        let changes = meters.changes();
        assert_eq!((changes.len(), changes[0].what.as_str()), (MOST_CHANGES, "v99"));
    }
}
