//! What people see of a control plane: the page at `/`, and the numbers at `/metrics`. Read only, rendered here, without scripts.
//!
//! ```text
//! path ─► gate (basic authentication: a browser asks for the token itself) ─► what the caller may read ─► survey ─► html
//! ```
//!
//! Invariants: text that is not our own reaches a document through [`html::Html::text`] alone; what a caller may not read is not
//! there for it; no token is in a link, in a cookie, or in an answer.

mod home;
mod html;
mod repository;
mod survey;

use bytes::Bytes;
use hyper::{Method, StatusCode};

use html::Html;

use crate::catalog::Catalog;
use crate::gate::{Action, Denial, Principal};
use crate::http::{Answer, Head, Set as _, empty, with};
use crate::meters::{MEDIA_TYPE, Meters};
use crate::name::RepositoryName;
use crate::observe::Cause;
use crate::storage::StorageError;

const STYLE: &str = include_str!("panel/style.css");
/// Where the style lies.
const STYLE_PATH: &str = "/-/style.css";
const METRICS: &str = "/metrics";
const REPOSITORIES: &str = "/repositories/";
/// Nothing but our own style and forms; nobody may frame the page.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// One request, with who sent it.
pub(crate) struct Call<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) meters: &'a Meters,
    pub(crate) principal: &'a Principal,
    pub(crate) head: &'a Head,
    /// The name of this control plane.
    pub(crate) control_plane: &'a str,
}

/// Whether a path is the panel's.
pub(crate) fn has(path: &str) -> bool {
    path == "/" || path == METRICS || path.starts_with(REPOSITORIES)
}

/// What everybody may have: no word in it depends on what is stored.
pub(crate) fn public(path: &str) -> Option<Answer> {
    let style = || with(StatusCode::OK, "text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes()));
    // It changes with the program, and is small.
    (path == STYLE_PATH).then(|| guarded(style()).set("cache-control", "no-cache"))
}

/// The answer to somebody who did not get in: a browser asks its user for a name and a password.
pub(crate) fn denial(denial: Denial) -> Answer {
    if denial == Denial::Unavailable {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "Tokens cannot be checked now.");
    }
    let text = "This control plane asks for a token: any user name, and the token as the password.";
    problem(StatusCode::UNAUTHORIZED, text).set("www-authenticate", "Basic realm=\"port\", charset=\"UTF-8\"")
}

/// Answers a request.
pub(crate) async fn answer(call: &Call<'_>) -> Answer {
    if call.head.method != Method::GET && call.head.method != Method::HEAD {
        return guarded(empty(StatusCode::METHOD_NOT_ALLOWED)).set("allow", "GET, HEAD");
    }
    let answered = match call.head.path.as_str() {
        METRICS => return metrics(call),
        "/" => home::page(call).await,
        path => match path.strip_prefix(REPOSITORIES).and_then(|name| name.parse().ok()) {
            Some(name) => one(call, &name).await,
            None => Ok(None),
        },
    };
    match answered {
        Ok(Some(page)) => page_answer(StatusCode::OK, page),
        Ok(None) => problem(StatusCode::NOT_FOUND, "There is nothing at this address for you."),
        Err(error) => {
            let text = "The storage failed. What happened is in the server's log.";
            let mut answer = problem(StatusCode::INTERNAL_SERVER_ERROR, text);
            answer.extensions_mut().insert(Cause::of(&error));
            answer
        }
    }
}

/// A repository that the caller may not read looks like one that is not there.
async fn one(call: &Call<'_>, name: &RepositoryName) -> Result<Option<Html>, StorageError> {
    if !call.principal.may(Action::Pull, name) || !call.catalog.exists(name).await? {
        return Ok(None);
    }
    repository::page(call, name).await.map(Some)
}

/// Numbers about everything are for who may read everything.
fn metrics(call: &Call<'_>) -> Answer {
    if !call.principal.may_everywhere(Action::Pull) {
        return problem(StatusCode::FORBIDDEN, "These numbers are for tokens that may read everything.");
    }
    guarded(with(StatusCode::OK, MEDIA_TYPE, call.meters.text().into())).set("cache-control", "no-store")
}

fn problem(status: StatusCode, text: &'static str) -> Answer {
    let mut body = Html::default();
    body.raw("<h1>").text(status.canonical_reason().unwrap_or("Something is wrong")).raw("</h1><p>");
    body.raw(text).raw("</p><p><a href=\"/\">All repositories</a></p>");
    page_answer(status, document(status.as_str(), "", &body))
}

fn page_answer(status: StatusCode, page: Html) -> Answer {
    guarded(with(status, "text/html; charset=utf-8", page.into_text().into()))
        .set("cache-control", "private, no-store")
}

fn guarded(answer: Answer) -> Answer {
    answer
        .set("content-security-policy", POLICY)
        .set("x-content-type-options", "nosniff")
        .set("referrer-policy", "no-referrer")
        .set("cross-origin-opener-policy", "same-origin")
        .set("cross-origin-resource-policy", "same-origin")
}

/// A whole document around `body`.
fn document(title: &str, control_plane: &str, body: &Html) -> Html {
    let mut page = Html::default();
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\"><title>").text(title);
    page.raw(" · Port</title><link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/-/style.css\"></head>");
    page.raw("<body><a class=\"skip\" href=\"#content\">Skip to the content</a><header><div class=\"wrap\">");
    page.raw("<a class=\"brand\" href=\"/\">Port</a><span class=\"plane\">").text(control_plane);
    page.raw("</span></div></header><main id=\"content\" tabindex=\"-1\"><div class=\"wrap\">");
    page.append(body).raw("</div></main></body></html>\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_can_run_and_nobody_is_told_where_a_reader_came_from() {
        let answer = denial(Denial::NoToken);
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(answer.status(), 401);
        assert!(header("www-authenticate").unwrap().starts_with("Basic"));
        let policy = header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"), "the style fetches nothing");
    }
}
