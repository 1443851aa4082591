//! Manifests by tag and by digest.

use hyper::{Method, StatusCode};
use port_content::limit;
use port_model::Digest;

use super::blobs::is_known;
use super::{Call, Refusal};
use crate::catalog::{Expected, PutManifest};
use crate::gate::Action;
use crate::hosted;
use crate::http::{Answer, RequestBody, Set as _, empty, read_small, with};
use crate::meters::Touched;
use crate::name::{NameError, RepositoryName, Tag, TagOrDigest};

/// The most tags that one request may set.
const MOST_TAGS: usize = 100;
/// Longest media type, in bytes (RFC 6838: 127 for each half).
const LONGEST_MEDIA_TYPE: usize = 255;

pub(super) async fn get(
    call: &Call<'_>,
    repository: &RepositoryName,
    name: &TagOrDigest,
) -> Result<Answer, Refusal> {
    call.require(Action::Pull, repository)?;
    let found = call.catalog.manifest(repository, name).await?.ok_or_else(Refusal::manifest_unknown)?;
    let tagged = |answer: Answer| {
        answer
            .set("docker-content-digest", found.digest.to_string())
            .set("etag", format!("\"{}\"", found.digest))
    };
    if is_known(call.head.header("if-none-match"), &found.digest) {
        return Ok(tagged(empty(StatusCode::NOT_MODIFIED)));
    }
    let answer = if call.head.method == Method::HEAD {
        empty(StatusCode::OK)
            .set("content-type", &found.media_type)
            .set("content-length", found.bytes.len().to_string())
    } else {
        with(StatusCode::OK, &found.media_type, found.bytes.clone())
    };
    Ok(tagged(answer))
}

pub(super) async fn put(
    call: &Call<'_>,
    repository: &RepositoryName,
    name: &TagOrDigest,
    body: RequestBody,
) -> Result<Answer, Refusal> {
    call.require(Action::Push, repository)?;
    let media_type = media_type(call)?;
    let (digest, mut tags) = match name {
        TagOrDigest::Digest(digest) => (Some(digest.clone()), Vec::new()),
        TagOrDigest::Tag(tag) => (queried_digest(call)?, vec![tag.clone()]),
    };
    let more = queried_tags(call)?;
    tags.extend(more.iter().cloned());
    let expected = expected(call)?;
    let bytes = read_small(body, limit::DOCUMENT).await?;
    let put = PutManifest { media_type, bytes, digest, tags: tags.clone(), expected };
    let (digest, draft) = call.catalog.put_manifest(repository, put).await?;
    follow(call, repository, &tags).await?;
    let mut answer = empty(StatusCode::CREATED)
        .set("location", format!("/v2/{repository}/manifests/{digest}"))
        .set("docker-content-digest", digest.to_string());
    if let Some(subject) = &draft.subject {
        answer = answer.set("oci-subject", subject.digest.to_string());
    }
    for tag in &more {
        // One header per tag, as the specification writes them.
        if let Ok(value) = tag.as_str().parse() {
            answer.headers_mut().append("oci-tag", value);
        }
    }
    Ok(touched(answer, repository, "published", name))
}

/// Says what an answer's request changed.
fn touched(
    mut answer: Answer,
    repository: &RepositoryName,
    verb: &'static str,
    name: &TagOrDigest,
) -> Answer {
    let what = match name {
        TagOrDigest::Tag(tag) => tag.to_string(),
        TagOrDigest::Digest(digest) => digest.to_string(),
    };
    answer.extensions_mut().insert(Touched { repository: repository.clone(), verb, what });
    answer
}

/// The media type without parameters, which no manifest has.
fn media_type(call: &Call<'_>) -> Result<String, Refusal> {
    let header = call.head.header("content-type").unwrap_or("");
    let found = header.split(';').next().unwrap_or("").trim();
    let fits = found.bytes().all(|byte| byte.is_ascii_graphic()) && found.len() <= LONGEST_MEDIA_TYPE;
    if fits && found.contains('/') {
        return Ok(found.to_owned());
    }
    Err(Refusal::request("the request has no `Content-Type` that a manifest could have"))
}

/// A manifest put by its tag may name its digest, and with it the algorithm.
fn queried_digest(call: &Call<'_>) -> Result<Option<Digest>, Refusal> {
    let parsed = call.head.query("digest").map(str::parse).transpose();
    parsed.map_err(|error: port_model::DigestError| Refusal::digest(error.to_string()))
}

fn queried_tags(call: &Call<'_>) -> Result<Vec<Tag>, Refusal> {
    let parsed: Result<Vec<Tag>, NameError> = call.head.queries("tag").map(str::parse).collect();
    let tags = parsed.map_err(|error| Refusal::tag(error.to_string()))?;
    if tags.len() > MOST_TAGS {
        return Err(Refusal::request(format!(
            "the request sets {} tags: at most {MOST_TAGS} are taken",
            tags.len()
        )));
    }
    Ok(tags)
}

/// `If-Match` and `If-None-Match: *`: how publishers of one index avoid losing each other's variants.
fn expected(call: &Call<'_>) -> Result<Expected, Refusal> {
    if call.head.header("if-none-match").is_some_and(|header| header.trim() == "*") {
        return Ok(Expected::Nothing);
    }
    let Some(header) = call.head.header("if-match") else { return Ok(Expected::Anything) };
    let digest = header.trim().trim_matches('"').parse::<Digest>();
    digest.map(Expected::Manifest).map_err(|_| Refusal::precondition("`If-Match` names no manifest"))
}

pub(super) async fn delete(
    call: &Call<'_>,
    repository: &RepositoryName,
    name: &TagOrDigest,
) -> Result<Answer, Refusal> {
    call.require(Action::Delete, repository)?;
    let deleted = match name {
        TagOrDigest::Digest(digest) => call.catalog.delete_manifest(repository, digest).await?,
        TagOrDigest::Tag(tag) => call.catalog.delete_tag(repository, tag).await?.then(|| vec![tag.clone()]),
    };
    let tags = deleted.ok_or_else(Refusal::manifest_unknown)?;
    follow(call, repository, &tags).await?;
    Ok(touched(empty(StatusCode::ACCEPTED), repository, "deleted", name))
}

/// What lies at readable paths follows the tags.
async fn follow(call: &Call<'_>, repository: &RepositoryName, tags: &[Tag]) -> Result<(), Refusal> {
    for tag in tags {
        hosted::follow(call.catalog, repository, tag).await?;
    }
    Ok(())
}
