//! The registry's face: OCI distribution-spec 1.1 at `/v2/`, with what its current text adds (docs/conformance.md).
//!
//! ```text
//! path ─► route (pure) ─► gate's principal may? ─► blobs · uploads · manifests · lists ─► catalog
//! ```
//!
//! What a client may not read and what is not there look the same to it only where it has a token; without one it is asked for one.

mod blobs;
mod challenge;
mod lists;
mod manifests;
mod refusal;
mod route;
mod uploads;

use hyper::{Method, StatusCode};

pub(crate) use challenge::{Source, bearer, site};
pub(crate) use refusal::Refusal;
use route::Route;

use crate::catalog::Catalog;
use crate::gate::{Action, Principal};
use crate::http::{Answer, Head, RequestBody, Set as _, empty};
use crate::name::RepositoryName;

/// One request, with who sent it.
pub(crate) struct Call<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) principal: &'a Principal,
    pub(crate) head: &'a Head,
}

impl Call<'_> {
    /// Refuses what the caller may not do.
    fn require(&self, action: Action, repository: &RepositoryName) -> Result<(), Refusal> {
        if self.principal.may(action, repository) {
            return Ok(());
        }
        Err(Refusal::not_allowed(self.principal, action, repository))
    }
}

/// Answers a request below `/v2/`.
pub(crate) async fn answer(call: &Call<'_>, body: RequestBody) -> Answer {
    let answered = match route::route(&call.head.path) {
        Ok(route) => serve(call, route, body).await,
        Err(refusal) => Err(refusal),
    };
    let answer = answered.unwrap_or_else(Refusal::answer);
    answer.set("docker-distribution-api-version", "registry/2.0")
}

async fn serve(call: &Call<'_>, route: Route, body: RequestBody) -> Result<Answer, Refusal> {
    let method = &call.head.method;
    match route {
        Route::Ping if is_read(method) => Ok(empty(StatusCode::OK)),
        Route::Catalog if is_read(method) => lists::repositories(call).await,
        Route::Blob { repository, digest } => match *method {
            Method::GET | Method::HEAD => blobs::get(call, &repository, &digest).await,
            Method::DELETE => blobs::delete(call, &repository, &digest).await,
            _ => Err(Refusal::method()),
        },
        Route::Uploads { repository } if *method == Method::POST => {
            uploads::begin(call, &repository, body).await
        }
        Route::Upload { repository, id } => match *method {
            Method::GET => uploads::status(call, &repository, &id).await,
            Method::PATCH => uploads::append(call, &repository, &id, body).await,
            Method::PUT => uploads::finish(call, &repository, &id, body).await,
            Method::DELETE => uploads::cancel(call, &repository, &id).await,
            _ => Err(Refusal::method()),
        },
        Route::Manifest { repository, name } => match *method {
            Method::GET | Method::HEAD => manifests::get(call, &repository, &name).await,
            Method::PUT => manifests::put(call, &repository, &name, body).await,
            Method::DELETE => manifests::delete(call, &repository, &name).await,
            _ => Err(Refusal::method()),
        },
        Route::Tags { repository } if is_read(method) => lists::tags(call, &repository).await,
        Route::Referrers { repository, digest } if is_read(method) => {
            lists::referrers(call, &repository, &digest).await
        }
        _ => Err(Refusal::method()),
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}
