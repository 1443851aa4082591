//! What answers a request, whichever connection it came over: the request's name, who sent it, which face it is for, and the record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, StatusCode};

use crate::catalog::Catalog;
use crate::distribution;
use crate::gate::Gate;
use crate::hosted;
use crate::http::{Answer, Head, Set as _, with};
use crate::observe::{Cause, Observer, RequestRecord, microseconds};

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
}

impl App {
    /// Answers and records.
    pub(crate) async fn handle(&self, remote: SocketAddr, request: Request<Incoming>) -> Answer {
        let begun = Instant::now();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let request_id = format!("{}-{number}", self.run);
        let (parts, body) = request.into_parts();
        let head = Head::new(parts);
        let (principal, answer) = self.answer(&head, body).await;
        let answer = answer.set("x-request-id", &request_id);
        self.observer.request(&RequestRecord {
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
        });
        answer
    }

    async fn answer(&self, head: &Head, body: Incoming) -> (Option<String>, Answer) {
        match head.path.as_str() {
            "/healthz" => return (None, text(StatusCode::OK, "ok\n")),
            "/readyz" => return (None, self.readiness().await),
            _ => {}
        }
        let Some(face) = Face::of(&head.path) else {
            return (None, text(StatusCode::NOT_FOUND, "there is nothing at this path\n"));
        };
        // Who sent it is known before a byte of the body is read (acceptance C-7).
        let admitted = self.gate.admit(&head.presented(self.gate.token_header())).await;
        let (catalog, control_plane) = (&self.catalog, self.control_plane.as_str());
        let principal = match (admitted, face) {
            (Ok(principal), _) => principal,
            (Err(denial), Face::Registry) => return (None, distribution::Refusal::denial(denial).answer()),
            (Err(denial), Face::Hosted) => {
                let error = hosted::HostedError::denial(denial);
                return (None, error.answer(&head.path, control_plane));
            }
        };
        let answer = match face {
            Face::Registry => {
                distribution::answer(&distribution::Call { catalog, principal: &principal, head }, body).await
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
        match self.catalog.storage().ready().await {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(error) => {
                let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "the storage is not ready\n");
                answer.extensions_mut().insert(Cause::of(&error));
                answer
            }
        }
    }
}

/// Which of the two faces a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Registry,
    Hosted,
}

impl Face {
    fn of(path: &str) -> Option<Self> {
        if path == "/v2" || path.starts_with("/v2/") {
            Some(Self::Registry)
        } else if path.starts_with("/v1/") {
            Some(Self::Hosted)
        } else {
            None
        }
    }
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    with(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}
