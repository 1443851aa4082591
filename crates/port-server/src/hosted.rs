//! Port's hosted API at `/v1/artifacts:…` (docs/formats/hosted-api.md): files by name, without a registry's words.
//!
//! ```text
//! push (bytes, metadata) ─► blob ─► manifest of the variant, under the tag that a registry client would ask for ─► path of P-39
//! pull (metadata)        ─► tag ─► layer with that title ─► bytes          (else the file at the path, whoever put it there)
//! ```
//!
//! What is published here is an OCI artifact like any other: one manifest per variant under `<version>-<arch>-<substrate>-<mode>`, one
//! layer per file. The tag is the truth; the readable path beside it is another name of the blob, made after the tag and made again
//! when the tag moved meanwhile.
//!
//! `push` and `pull` are the published routes. The others let Port's own client continue a push that was cut, leave out what is
//! here already, and publish several files and their documents at once.

mod exchange;
mod metadata;
mod publish;
mod pull;
mod push;
mod reply;

use hyper::Method;

pub(crate) use reply::HostedError;

use crate::catalog::Catalog;
use crate::gate::{Action, Principal};
use crate::http::{Answer, Head, RequestBody, Set as _};
use crate::name::{RepositoryName, Tag};
use crate::storage::StorageError;

/// Where the readable paths are, below the storage (acceptance P-11, P-39).
const ARTIFACTS: &str = "artifacts";

/// The routes below `/v1/`.
pub(crate) const ROUTES: [&str; 5] =
    ["artifacts:push", "artifacts:pull", "artifacts:status", "artifacts:resolve", "artifacts:publish"];

/// One request, with who sent it.
pub(crate) struct Call<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) principal: &'a Principal,
    pub(crate) head: &'a Head,
    /// The name of this control plane.
    pub(crate) control_plane: &'a str,
}

impl Call<'_> {
    fn require(&self, action: Action, repository: &RepositoryName) -> Result<(), HostedError> {
        if self.principal.may(action, repository) {
            return Ok(());
        }
        Err(HostedError::not_allowed(self.principal, repository))
    }
}

/// A tag moved, or went, at the other face: the readable paths follow where it is a variant's.
///
/// # Errors
/// Where the storage fails. The tag has moved all the same.
pub(crate) async fn follow(
    catalog: &Catalog,
    repository: &RepositoryName,
    tag: &Tag,
) -> Result<(), StorageError> {
    let Some(place) = metadata::Place::of_tag(repository, tag) else { return Ok(()) };
    publish::project(catalog, &place).await
}

/// Answers a request below `/v1/`.
pub(crate) async fn answer(call: &Call<'_>, body: RequestBody) -> Answer {
    let answered = serve(call, body).await;
    let answer = answered.unwrap_or_else(|error| error.answer(&call.head.path, call.control_plane));
    // By this, Port's client knows a server that has more than the two published routes.
    answer.set(reply::CONTROL_PLANE, call.control_plane)
}

async fn serve(call: &Call<'_>, body: RequestBody) -> Result<Answer, HostedError> {
    let route = call.head.path.strip_prefix("/v1/").unwrap_or("");
    if !ROUTES.contains(&route) {
        return Err(HostedError::unknown_path());
    }
    if call.head.method != Method::POST {
        return Err(HostedError::method());
    }
    match route {
        "artifacts:push" => push::push(call, body).await,
        "artifacts:pull" => pull::pull(call, body).await,
        "artifacts:status" => exchange::status(call, body).await,
        "artifacts:resolve" => exchange::resolve(call, body).await,
        _ => exchange::publish(call, body).await,
    }
}
