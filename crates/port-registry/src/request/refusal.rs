//! What a registry says in place of what was asked for (distribution-spec, "Error Codes"), read with limits.

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::error::{Refusal, quote};
use crate::options::Patience;
use crate::request::body::read_bounded;

/// The most of an error's body that is read, in bytes.
pub(crate) const LARGEST_ERROR: u64 = 64 * 1024;
/// The status of a request that is too large.
const TOO_LARGE: u16 = 413;
/// How many of a registry's own errors are kept.
const MOST_DETAILS: usize = 4;

/// The status, and the registry's own words for it.
pub(crate) async fn refusal(response: Response, patience: &Patience) -> Refusal {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<ErrorEntry>,
    }
    #[derive(Deserialize)]
    struct ErrorEntry {
        code: Option<String>,
        message: Option<String>,
        detail: Option<serde_json::Value>,
    }
    let status = response.status().as_u16();
    let is_text =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    // An error's body is a courtesy: none, an endless one or one that is no JSON changes nothing.
    let body = read_bounded(response, LARGEST_ERROR, patience).await.unwrap_or_default();
    let errors = serde_json::from_slice(&body).map(|errors: Errors| errors.errors).unwrap_or_default();
    let text = |entry: ErrorEntry| {
        // Which limit it is stands there, if anywhere; of other refusals it repeats what was asked.
        let detail = entry.detail.filter(|detail| status == TOO_LARGE && !detail.is_null());
        let said = [entry.code, entry.message, detail.map(|detail| detail.to_string())];
        let said: Vec<String> = said.into_iter().flatten().collect();
        (!said.is_empty()).then(|| quote(&said.join(": ")))
    };
    let mut details: Vec<String> = errors.into_iter().filter_map(text).take(MOST_DETAILS).collect();
    if details.is_empty() && is_text {
        let first = String::from_utf8_lossy(&body).lines().next().map(|line| quote(line.trim()));
        details.extend(first.filter(|line| !line.is_empty()));
    }
    Refusal { status, details }
}
