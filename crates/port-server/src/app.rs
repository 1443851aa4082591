//! What answers a request, whichever connection it came over: the request's name, who sent it, which face it is for, and the record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, StatusCode};

use crate::audit::{Audit, Entry};
use crate::catalog::Catalog;
use crate::distribution;
use crate::gate::{Clock, Denial, Gate, Principal};
use crate::hosted;
use crate::http::{Answer, Head, RequestBody, Set as _, with};
use crate::limiter::{Limiter, Ticks};
use crate::meters::{Meters, Touched};
use crate::observe::{Cause, Event, Observer, RequestRecord, Subject, microseconds};
use crate::openapi;
use crate::pace::LeastRate;
use crate::panel;
use crate::readiness::Readiness;
use crate::token_flow;

/// See the module.
pub(crate) struct App {
    pub(crate) catalog: Catalog,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) control_plane: String,
    pub(crate) observer: Arc<dyn Observer>,
    /// Random per process, so that names of requests do not repeat after a restart.
    pub(crate) run: String,
    pub(crate) requests: AtomicU64,
    pub(crate) draining: AtomicBool,
    pub(crate) readiness: Readiness,
    pub(crate) meters: Arc<Meters>,
    pub(crate) clock: Clock,
    pub(crate) ticks: Ticks,
    pub(crate) site: Site,
    pub(crate) limiter: Limiter,
    pub(crate) least_rate: LeastRate,
    pub(crate) audit: Option<Audit>,
}

/// Where clients reach this server.
pub(crate) struct Site {
    pub(crate) public_url: Option<String>,
    pub(crate) scheme: &'static str,
}

/// The largest head of a request, in bytes.
const LARGEST_HEAD: usize = 32 * 1024;

impl App {
    /// Answers and records.
    pub(crate) async fn handle(&self, remote: SocketAddr, request: Request<Incoming>) -> Answer {
        let begun = Instant::now();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let request_id = format!("{}-{number}", self.run);
        let (parts, body) = request.into_parts();
        let head = Head::new(parts);
        let body = RequestBody::new(body, self.least_rate);
        let (principal, answer) = match self.refused_at_once(remote, &head) {
            Some(answer) => (None, answer),
            None => self.answer(remote, &head, body).await,
        };
        let answer = self.audited(remote, &request_id, principal.as_deref(), &head, answer).await;
        let answer = answer.set("x-request-id", &request_id);
        let record = RequestRecord {
            request_id,
            remote,
            principal,
            method: head.method.to_string(),
            path: head.path.clone(),
            status: answer.status().as_u16(),
            received: head.content_length(),
            sent: answer.body().size_hint().exact(),
            microseconds: microseconds(begun.elapsed()),
            error: answer.extensions().get::<Cause>().map(|cause| cause.0.clone()),
        };
        self.meters.request(&record);
        if let Some(touched) = answer.extensions().get::<Touched>() {
            self.meters.change((self.clock)(), record.principal.as_deref().unwrap_or(""), touched);
        }
        self.observer.request(&record);
        answer
    }

    /// What is refused before anybody asks who sent it.
    fn refused_at_once(&self, remote: SocketAddr, head: &Head) -> Option<Answer> {
        if head.size() > LARGEST_HEAD {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Some(text(status, "the request's head is larger than 32 KiB\n"));
        }
        if matches!(head.path.as_str(), "/healthz" | "/readyz") {
            return None;
        }
        if let Err(wait) = self.limiter.request(remote.ip(), (self.ticks)()) {
            let answer = text(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address\n");
            return Some(answer.set("retry-after", seconds(wait).to_string()));
        }
        let broken = self.audit.as_ref().is_some_and(Audit::is_broken);
        if broken && !head.method.is_safe() {
            let message = "nothing can be changed now: what happens here cannot be recorded\n";
            return Some(text(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        None
    }

    /// Records what changes something or was forbidden, before the client is told: what is acknowledged is in the log.
    async fn audited(
        &self,
        remote: SocketAddr,
        request_id: &str,
        principal: Option<&str>,
        head: &Head,
        answer: Answer,
    ) -> Answer {
        let Some(audit) = &self.audit else { return answer };
        let status = answer.status();
        let forbidden = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        // Asking without a token is how every client of a registry begins.
        let asks = status == StatusCode::UNAUTHORIZED && head.header("authorization").is_none();
        let issued = head.path == token_flow::PATH && status.is_success();
        if asks || (head.method.is_safe() && !forbidden && !issued) {
            return answer;
        }
        let entry = Entry {
            request_id: request_id.to_owned(),
            remote: remote.ip(),
            principal: principal.map(str::to_owned),
            method: head.method.to_string(),
            path: head.path.chars().take(1000).collect(),
            subject: answer.extensions().get::<Subject>().map(|subject| subject.0.clone()),
            digest: answer.header("docker-content-digest"),
            status: status.as_u16(),
            received: head.content_length(),
        };
        match audit.record(entry).await {
            Ok(()) => answer,
            Err(error) => {
                self.observer.event(&Event::AuditFailed { reason: Cause::of(&error).0 });
                text(StatusCode::SERVICE_UNAVAILABLE, "what was done cannot be recorded\n")
            }
        }
    }

    /// What a client of a registry is told that shows nothing, or not enough.
    fn challenged(&self, head: &Head, answer: Answer) -> Answer {
        let Some(issuer) = self.gate.issuer().filter(|_| answer.status() == StatusCode::UNAUTHORIZED) else {
            return answer;
        };
        let own = || distribution::site(head, self.site.scheme);
        let Some(site) = self.site.public_url.clone().or_else(own) else { return answer };
        let source = answer.extensions().get::<distribution::Source>();
        let challenge = distribution::bearer(head, &site, issuer.audience(), source);
        answer.set("www-authenticate", challenge)
    }

    /// Clients look at `/v2/` to learn whether tokens are asked for at all. Where everybody may read they would never show theirs, if
    /// they were not told here; without one they get one that reads.
    fn must_be_asked(&self, principal: &Principal, head: &Head) -> bool {
        let ping = matches!(head.path.as_str(), "/v2" | "/v2/");
        ping && principal.is_anonymous() && principal.narrowed.is_none() && self.gate.issuer().is_some()
    }

    async fn answer(&self, remote: SocketAddr, head: &Head, body: RequestBody) -> (Option<String>, Answer) {
        match head.path.as_str() {
            "/healthz" => return (None, text(StatusCode::OK, "ok\n")),
            "/readyz" => return (None, self.readiness().await),
            openapi::PATH => return (None, openapi::answer(head)),
            token_flow::PATH => {
                let (principal, answer) = token_flow::answer(self.gate.as_ref(), head).await;
                if principal.is_none() && answer.status() == StatusCode::UNAUTHORIZED {
                    self.limiter.wrong(remote.ip(), (self.ticks)());
                }
                return (principal, answer);
            }
            _ => {}
        }
        if let Some(answer) = panel::public(&head.path) {
            return (None, answer);
        }
        let Some(face) = Face::of(&head.path) else {
            return (None, text(StatusCode::NOT_FOUND, "there is nothing at this path\n"));
        };
        // Who sent it is known before a byte of the body is read (acceptance C-7).
        let admitted = self.gate.admit(&head.presented(self.gate.token_header())).await;
        if admitted == Err(Denial::WrongToken) {
            self.limiter.wrong(remote.ip(), (self.ticks)());
        }
        let (catalog, control_plane) = (&self.catalog, self.control_plane.as_str());
        let principal = match (admitted, face) {
            (Ok(principal), Face::Registry) if self.must_be_asked(&principal, head) => {
                let refusal = distribution::Refusal::denial(Denial::NoToken);
                return (None, self.challenged(head, refusal.answer()));
            }
            (Ok(principal), _) => principal,
            (Err(denial), Face::Registry) => {
                return (None, self.challenged(head, distribution::Refusal::denial(denial).answer()));
            }
            (Err(denial), Face::Hosted) => {
                let error = hosted::HostedError::denial(denial);
                return (None, error.answer(&head.path, control_plane));
            }
            (Err(denial), Face::Panel) => return (None, panel::denial(denial)),
        };
        let answer = match face {
            Face::Panel => {
                let meters = self.meters.as_ref();
                let call = panel::Call { catalog, meters, principal: &principal, head, control_plane };
                panel::answer(&call).await
            }
            Face::Registry => {
                let call = distribution::Call { catalog, principal: &principal, head };
                self.challenged(head, distribution::answer(&call, body).await)
            }
            Face::Hosted => {
                let call = hosted::Call { catalog, principal: &principal, head, control_plane };
                hosted::answer(&call, body).await
            }
        };
        (Some(principal.name), answer)
    }

    async fn readiness(&self) -> Answer {
        if self.draining.load(Ordering::Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        match self.readiness.of(|| (self.ticks)(), self.catalog.storage().ready()).await {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(cause) => {
                let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "the storage is not ready\n");
                answer.extensions_mut().insert(cause);
                answer
            }
        }
    }
}

/// In whole seconds, and not none.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(1)
}

/// Which face a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Registry,
    Hosted,
    Panel,
}

impl Face {
    fn of(path: &str) -> Option<Self> {
        if path == "/v2" || path.starts_with("/v2/") {
            Some(Self::Registry)
        } else if path.starts_with("/v1/") {
            Some(Self::Hosted)
        } else if panel::has(path) {
            Some(Self::Panel)
        } else {
            None
        }
    }
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    with(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}
