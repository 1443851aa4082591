//! Pushing blobs: in one request, in two, in chunks, streamed, or by mounting what is here already.

use hyper::StatusCode;
use port_model::Digest;

use super::{Call, Refusal};
use crate::catalog::{UploadError, UploadId};
use crate::gate::Action;
use crate::http::{Answer, RequestBody, Set as _, empty, incoming};
use crate::name::RepositoryName;

pub(super) async fn begin(
    call: &Call<'_>,
    repository: &RepositoryName,
    body: RequestBody,
) -> Result<Answer, Refusal> {
    call.require(Action::Push, repository)?;
    if let Some(digest) = digest_of(call, "mount")?
        && mount(call, repository, &digest).await?
    {
        return Ok(created(repository, &digest));
    }
    let digest = digest_of(call, "digest")?;
    check_algorithm(call)?;
    let id = UploadId::random().map_err(UploadError::from)?;
    let principal = call.principal.name.as_str();
    call.catalog.begin_upload(repository, principal, &id).await?;
    let Some(digest) = digest else { return Ok(accepted(repository, &id, 0)) };
    let pushed = async {
        call.catalog.append_upload(repository, principal, &id, Some(0), incoming(body)).await?;
        call.catalog.finish_upload(repository, principal, &id, Some(&digest)).await
    };
    if let Err(error) = pushed.await {
        // Nobody knows the session's name, so nobody could continue it.
        let _gone_already = call.catalog.cancel_upload(repository, principal, &id).await;
        return Err(error.into());
    }
    Ok(created(repository, &digest))
}

fn digest_of(call: &Call<'_>, field: &str) -> Result<Option<Digest>, Refusal> {
    let parsed = call.head.query(field).map(str::parse).transpose();
    parsed.map_err(|error: port_model::DigestError| Refusal::digest(error.to_string()))
}

/// A client may announce the algorithm that it will finish with; one that is not known here is refused at once.
fn check_algorithm(call: &Call<'_>) -> Result<(), Refusal> {
    match call.head.query("digest-algorithm") {
        None | Some("sha256" | "sha512") => Ok(()),
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            Err(Refusal::digest(format!(
                "`{other}` is no digest algorithm of this registry: expected sha256 or sha512"
            )))
        }
    }
}

/// Takes the blob from where it is: from the repository that the client names, else from any that the caller may read. Where only
/// the token was not asked for that repository, the client is told to ask for it.
async fn mount(call: &Call<'_>, repository: &RepositoryName, digest: &Digest) -> Result<bool, Refusal> {
    let principal = call.principal;
    let readable = |name: &RepositoryName| principal.may(Action::Pull, name);
    let askable = |name: &RepositoryName| principal.may_ask_for(Action::Pull, name);
    let from = match call.head.query("from").map(str::parse::<RepositoryName>) {
        Some(Ok(from)) if readable(&from) => Some(from),
        // NOTE: said whether or not the repository has the blob, and only to who may read it.
        Some(Ok(from)) if askable(&from) => return Err(Refusal::source(from)),
        // A repository that the caller may not read, or that cannot be, has nothing for it.
        Some(_) => None,
        None => match call.catalog.find_holder(digest, readable).await? {
            Some(from) => Some(from),
            None if principal.narrowed.is_some() => {
                let elsewhere = call.catalog.find_holder(digest, askable).await?;
                return elsewhere.map_or(Ok(false), |from| Err(Refusal::source(from)));
            }
            None => None,
        },
    };
    match from {
        Some(from) => Ok(call.catalog.mount(repository, digest, &from).await?),
        None => Ok(false),
    }
}

pub(super) async fn status(
    call: &Call<'_>,
    repository: &RepositoryName,
    id: &UploadId,
) -> Result<Answer, Refusal> {
    call.require(Action::Push, repository)?;
    let offset = call.catalog.upload_offset(repository, &call.principal.name, id).await?;
    Ok(progress(StatusCode::NO_CONTENT, repository, id, offset))
}

pub(super) async fn append(
    call: &Call<'_>,
    repository: &RepositoryName,
    id: &UploadId,
    body: RequestBody,
) -> Result<Answer, Refusal> {
    call.require(Action::Push, repository)?;
    let offset = take(call, repository, id, body).await?;
    Ok(accepted(repository, id, offset))
}

/// Appends what the request brings, which may be nothing.
async fn take(
    call: &Call<'_>,
    repository: &RepositoryName,
    id: &UploadId,
    body: RequestBody,
) -> Result<u64, Refusal> {
    let principal = call.principal.name.as_str();
    let announced = call.head.header("content-range").map(content_range).transpose()?;
    if let (Some((first, end)), Some(length)) = (announced, call.head.content_length())
        && end.saturating_sub(first) != length
    {
        return Err(Refusal::size(format!(
            "the range has {} bytes, and the body {length}",
            end.saturating_sub(first)
        )));
    }
    let at = announced.map(|(first, _)| first);
    let taken = call.catalog.append_upload(repository, principal, id, at, incoming(body)).await;
    match taken {
        Err(UploadError::OutOfOrder { offset }) => {
            let message = format!("the upload has {offset} bytes: the next ones begin there");
            let refusal = Refusal::range(message).header("location", location(repository, id));
            Err(refusal.header("range", range(offset)))
        }
        other => Ok(other?),
    }
}

/// `<first>-<last>` of the distribution-spec, `bytes <first>-<last>/<total>` of HTTP: the first byte and the one behind the last.
fn content_range(text: &str) -> Result<(u64, u64), Refusal> {
    let text = text.trim();
    let range = text.strip_prefix("bytes ").unwrap_or(text).split('/').next().unwrap_or("");
    let ends = range.split_once('-').map(|(first, last)| (first.trim().parse(), last.trim().parse::<u64>()));
    match ends {
        Some((Ok(first), Ok(last))) if last >= first => Ok((first, last.saturating_add(1))),
        _ => Err(Refusal::request("`Content-Range` cannot be read: expected `<first>-<last>`")),
    }
}

pub(super) async fn finish(
    call: &Call<'_>,
    repository: &RepositoryName,
    id: &UploadId,
    body: RequestBody,
) -> Result<Answer, Refusal> {
    call.require(Action::Push, repository)?;
    let Some(digest) = digest_of(call, "digest")? else {
        return Err(Refusal::digest("the request names no digest: expected `?digest=`".to_owned()));
    };
    take(call, repository, id, body).await?;
    call.catalog.finish_upload(repository, &call.principal.name, id, Some(&digest)).await?;
    Ok(created(repository, &digest))
}

pub(super) async fn cancel(
    call: &Call<'_>,
    repository: &RepositoryName,
    id: &UploadId,
) -> Result<Answer, Refusal> {
    call.require(Action::Push, repository)?;
    call.catalog.cancel_upload(repository, &call.principal.name, id).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn location(repository: &RepositoryName, id: &UploadId) -> String {
    format!("/v2/{repository}/blobs/uploads/{}", id.as_str())
}

/// Both ends inclusive; the specification has no way to say "nothing", and clients expect `0-0`.
fn range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn progress(status: StatusCode, repository: &RepositoryName, id: &UploadId, offset: u64) -> Answer {
    empty(status)
        .set("location", location(repository, id))
        .set("range", range(offset))
        .set("docker-upload-uuid", id.as_str())
}

fn accepted(repository: &RepositoryName, id: &UploadId, offset: u64) -> Answer {
    progress(StatusCode::ACCEPTED, repository, id, offset)
}

fn created(repository: &RepositoryName, digest: &Digest) -> Answer {
    empty(StatusCode::CREATED)
        .set("location", format!("/v2/{repository}/blobs/{digest}"))
        .set("docker-content-digest", digest.to_string())
}
