//! What a registry says in place of what was asked for (distribution-spec, "Error Codes"), read with limits.

use std::time::Duration;

use reqwest::Response;
use serde::Deserialize;

use crate::error::{Refusal, quote};
use crate::request::body::read_bounded;

/// The most of an error's body that is read, in bytes.
pub(crate) const LARGEST_ERROR: u64 = 64 * 1024;
/// How many of a registry's own errors are kept.
const MOST_DETAILS: usize = 4;

/// The status, and the registry's own words for it.
pub(crate) async fn refusal(response: Response, stall: Duration) -> Refusal {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<ErrorEntry>,
    }
    #[derive(Deserialize)]
    struct ErrorEntry {
        code: Option<String>,
        message: Option<String>,
    }
    let status = response.status().as_u16();
    // An error's body is a courtesy: none, an endless one or one that is no JSON changes nothing.
    let body = read_bounded(response, LARGEST_ERROR, stall).await.unwrap_or_default();
    let errors = serde_json::from_slice(&body).map(|errors: Errors| errors.errors).unwrap_or_default();
    let text = |entry: ErrorEntry| match (entry.code, entry.message) {
        (Some(code), Some(message)) => Some(quote(&format!("{code}: {message}"))),
        (one, other) => one.or(other).map(|text| quote(&text)),
    };
    Refusal { status, details: errors.into_iter().filter_map(text).take(MOST_DETAILS).collect() }
}
