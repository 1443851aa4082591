//! Lists: tags, referrers, repositories; in pages, sorted.

use hyper::StatusCode;
use port_layout::media_types;
use port_model::Digest;
use serde_json::json;

use super::{Call, Refusal};
use crate::gate::Action;
use crate::http::{Answer, Set as _, json, with};
use crate::name::RepositoryName;

/// The longest page, whatever the client asks for: nothing is allocated by a number of its (CVE-2023-2253).
const LONGEST_PAGE: usize = 10_000;

/// How many entries the client wants.
fn page_length(call: &Call<'_>) -> Result<usize, Refusal> {
    match call.head.query("n").map(str::parse::<u64>) {
        None => Ok(LONGEST_PAGE),
        Some(Ok(n)) => Ok(usize::try_from(n).unwrap_or(LONGEST_PAGE).min(LONGEST_PAGE)),
        Some(Err(_)) => Err(Refusal::request("`n` is no number of entries")),
    }
}

/// The link to the page behind `last`.
fn next(path: &str, length: usize, last: Option<&str>) -> String {
    format!("<{path}?n={length}&last={}>; rel=\"next\"", last.unwrap_or(""))
}

pub(super) async fn tags(call: &Call<'_>, repository: &RepositoryName) -> Result<Answer, Refusal> {
    call.require(Action::Pull, repository)?;
    let length = page_length(call)?;
    let mut tags = call.catalog.tags(repository, call.head.query("last"), length.saturating_add(1)).await?;
    if tags.is_empty() && !call.catalog.exists(repository).await? {
        return Err(Refusal::name_unknown(repository));
    }
    let more = tags.len() > length;
    tags.truncate(length);
    let names: Vec<&str> = tags.iter().map(crate::name::Tag::as_str).collect();
    let answer = json(StatusCode::OK, &json!({"name": repository.as_str(), "tags": names}));
    if more && length > 0 {
        let link = next(&format!("/v2/{repository}/tags/list"), length, names.last().copied());
        return Ok(answer.set("link", link));
    }
    Ok(answer)
}

pub(super) async fn referrers(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Answer, Refusal> {
    call.require(Action::Pull, repository)?;
    let mut found = call.catalog.referrers(repository, digest).await?;
    let filter = call.head.query("artifactType");
    if let Some(wanted) = filter {
        found.retain(|entry| entry.artifact_type.as_deref() == Some(wanted));
    }
    let index = json!({"schemaVersion": 2, "mediaType": media_types::OCI_INDEX, "manifests": found});
    let bytes = serde_json::to_vec(&index).unwrap_or_default();
    let answer = with(StatusCode::OK, media_types::OCI_INDEX, bytes.into());
    Ok(if filter.is_some() { answer.set("oci-filters-applied", "artifactType") } else { answer })
}

pub(super) async fn repositories(call: &Call<'_>) -> Result<Answer, Refusal> {
    let length = page_length(call)?;
    let last = call.head.query("last").unwrap_or("");
    let all = call.catalog.repositories().await?;
    // What the caller may not read is not there for it.
    let mut readable = all.iter().filter(|name| call.principal.may_see(name) && name.as_str() > last);
    let names: Vec<&str> = readable.by_ref().take(length).map(RepositoryName::as_str).collect();
    let answer = json(StatusCode::OK, &json!({"repositories": names}));
    if readable.next().is_some() && length > 0 {
        return Ok(answer.set("link", next("/v2/_catalog", length, names.last().copied())));
    }
    Ok(answer)
}
