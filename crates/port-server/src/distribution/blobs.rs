//! Reading and deleting blobs.

use hyper::{Method, StatusCode};
use port_model::Digest;

use super::{Call, Refusal};
use crate::gate::Action;
use crate::http::{Answer, Asked, Set as _, asked, empty, streamed};
use crate::name::RepositoryName;
use crate::storage::ByteRange;

pub(super) async fn get(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Answer, Refusal> {
    call.require(Action::Pull, repository)?;
    let unknown = || Refusal::blob_unknown(digest);
    let size = call.catalog.blob_size(repository, digest).await?.ok_or_else(unknown)?;
    let tagged = |answer: Answer| {
        answer
            .set("docker-content-digest", digest.to_string())
            .set("etag", format!("\"{digest}\""))
            .set("accept-ranges", "bytes")
            .set("cache-control", "private, max-age=31536000, immutable")
    };
    if is_known(call.head.header("if-none-match"), digest) {
        return Ok(tagged(empty(StatusCode::NOT_MODIFIED)));
    }
    // A range of another object than the client began with would be a mix.
    let same = call.head.header("if-range").is_none_or(|known| is_known(Some(known), digest));
    let range = match asked(call.head.header("range").filter(|_| same), size) {
        Asked::Whole => None,
        Asked::Part(range) => Some(range),
        Asked::Unsatisfiable => {
            let message = format!("the blob has {size} bytes, and none of them are in that range");
            return Err(Refusal::range(message).header("content-range", format!("bytes */{size}")));
        }
    };
    let (status, length) = match range {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range.length()),
        None => (StatusCode::OK, size),
    };
    let answer = if call.head.method == Method::HEAD {
        empty(status)
            .set("content-length", length.to_string())
            .set("content-type", "application/octet-stream")
    } else {
        let content = call.catalog.open_blob(digest, range).await?.ok_or_else(unknown)?;
        streamed(status, length, content.stream)
    };
    let answer = match range {
        Some(ByteRange { first, last }) => {
            answer.set("content-range", format!("bytes {first}-{last}/{size}"))
        }
        None => answer,
    };
    Ok(tagged(answer))
}

/// Whether `If-None-Match` or its like names this digest.
pub(super) fn is_known(header: Option<&str>, digest: &Digest) -> bool {
    let digest = digest.to_string();
    let tags =
        header.unwrap_or("").split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
    tags.into_iter().any(|tag| tag == digest)
}

pub(super) async fn delete(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Answer, Refusal> {
    call.require(Action::Delete, repository)?;
    if call.catalog.delete_blob(repository, digest).await? {
        return Ok(empty(StatusCode::ACCEPTED));
    }
    Err(Refusal::blob_unknown(digest))
}
