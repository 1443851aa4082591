//! What a client that shows nothing, or not enough, is told: where tokens are to be had, and for what it needs one. Clients of
//! registries act on it by themselves (`docker login`, oras, skopeo).

use hyper::Method;

use super::route::{Route, route};
use crate::http::Head;
use crate::name::RepositoryName;

/// A repository that a blob would be mounted from. Travels with the refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source(pub(crate) RepositoryName);

/// The value of `WWW-Authenticate` for a request to `/v2/`. `site` is where this server is reached; `source` where a blob is that the
/// request did not say the place of.
pub(crate) fn bearer(head: &Head, site: &str, service: &str, source: Option<&Source>) -> String {
    let source = source.map(|source| source.0.clone()).or_else(|| head.query("from")?.parse().ok());
    let mut scope = scope(head);
    if let (Some(scope), Some(source)) = (&mut scope, source.filter(|_| head.query("mount").is_some())) {
        scope.push_str(&format!(" repository:{source}:pull"));
    }
    let scope = scope.map(|scope| format!(",scope=\"{scope}\"")).unwrap_or_default();
    format!("Bearer realm=\"{site}/token\",service=\"{}\"{scope}", quotable(service))
}

/// What a request needs. The names in it have passed the grammar, so nothing in it needs an escape.
fn scope(head: &Head) -> Option<String> {
    let (repository, last) = match route(&head.path).ok()? {
        Route::Ping => return None,
        Route::Catalog => return Some("registry:catalog:*".to_owned()),
        Route::Blob { repository, .. }
        | Route::Uploads { repository }
        | Route::Upload { repository, .. }
        | Route::Manifest { repository, .. }
        | Route::Tags { repository }
        | Route::Referrers { repository, .. } => (repository, &head.method),
    };
    let is_upload = head.path.contains("/blobs/uploads/");
    let actions = match *last {
        Method::GET | Method::HEAD if !is_upload => "pull",
        // Ending an upload is its owner's right.
        Method::DELETE if !is_upload => "delete",
        _ => "pull,push",
    };
    Some(format!("repository:{repository}:{actions}"))
}

fn quotable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect()
}

/// Where this server is reached, by what the client calls it. A name that no host has is not repeated.
pub(crate) fn site(head: &Head, scheme: &str) -> Option<String> {
    let host = head.header("host")?;
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let fits = !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed);
    fits.then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(method: &str, path: &str, host: &str) -> Head {
        let request = Request::builder().method(method).uri(path).header("host", host);
        Head::new(request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_challenge_asks_for_what_the_request_needs() {
        for (method, path, scope) in [
            ("GET", "/v2/", ""),
            ("GET", "/v2/a/b/manifests/v1", ",scope=\"repository:a/b:pull\""),
            ("PUT", "/v2/a/b/manifests/v1", ",scope=\"repository:a/b:pull,push\""),
            ("POST", "/v2/a/b/blobs/uploads/", ",scope=\"repository:a/b:pull,push\""),
            (
                "POST",
                "/v2/a/b/blobs/uploads/?mount=x&from=c/d",
                ",scope=\"repository:a/b:pull,push repository:c/d:pull\"",
            ),
            ("POST", "/v2/a/b/blobs/uploads/?mount=x&from=%22%20", ",scope=\"repository:a/b:pull,push\""),
            ("DELETE", "/v2/a/b/manifests/v1", ",scope=\"repository:a/b:delete\""),
            ("GET", "/v2/_catalog", ",scope=\"registry:catalog:*\""),
            ("GET", "/v2/%22/x", ""),
        ] {
            let found = bearer(&head(method, path, "x"), "http://h:1", "de\"mo", None);
            assert_eq!(found, format!("Bearer realm=\"http://h:1/token\",service=\"demo\"{scope}"), "{path}");
        }
    }

    #[test]
    fn a_host_that_cannot_be_is_not_repeated() {
        assert_eq!(
            site(&head("GET", "/", "h.example:7040"), "https").as_deref(),
            Some("https://h.example:7040")
        );
        for bad in ["", "a\"b", "a/b", "user@host", "a b", "a,b"] {
            assert_eq!(site(&head("GET", "/", bad), "http"), None, "{bad}");
        }
    }
}
