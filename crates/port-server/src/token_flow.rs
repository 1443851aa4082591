//! `GET /token`: the registry's token flow. Who shows a token, as the password of basic authentication with any user name, gets one for a
//! while that does what was asked for and nothing else; who shows nothing gets one that reads, where everybody may.

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::gate::{Denial, Gate, Narrowed, Presented};
use crate::http::{Answer, Head, Set as _, json as json_answer};

/// The path.
pub(crate) const PATH: &str = "/token";

/// Answers, and says who asked.
pub(crate) async fn answer(gate: &dyn Gate, head: &Head) -> (Option<String>, Answer) {
    let Some(issuer) = gate.issuer() else {
        return (None, refused(StatusCode::NOT_FOUND, "UNSUPPORTED", "there are no such tokens here"));
    };
    if head.method != Method::GET {
        // Clients that try the other form first go on with this one.
        let message = "tokens are asked for with GET";
        return (None, refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message).set("allow", "GET"));
    }
    // Whose tokens are wanted is who must take what is shown.
    let audience = head.query("service").map(str::to_owned);
    let presented = Presented { audience, ..head.presented(gate.token_header()) };
    let principal = match gate.admit(&presented).await {
        // A token for a while makes no others, or it would last for ever.
        Ok(principal) if principal.narrowed.is_none() => principal,
        Ok(_) => return (None, denied(Denial::WrongToken)),
        Err(denial) => return (None, denied(denial)),
    };
    let narrowed = Narrowed::of_scopes(head.queries("scope"));
    let issued = issuer.issue(&principal.name, &narrowed);
    let body = json!({
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.lifetime.as_secs(),
        "issued_at": issued.issued.to_string(),
    });
    let answer = json_answer(StatusCode::OK, &body).set("cache-control", "no-store");
    (Some(principal.name), answer)
}

fn denied(denial: Denial) -> Answer {
    if denial == Denial::Unavailable {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "UNKNOWN", &denial.to_string());
    }
    refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", &denial.to_string())
        .set("www-authenticate", "Basic realm=\"port\"")
}

fn refused(status: StatusCode, code: &str, message: &str) -> Answer {
    json_answer(status, &json!({"errors": [{"code": code, "message": message}]}))
}
