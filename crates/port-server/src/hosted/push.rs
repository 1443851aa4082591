//! `POST /v1/artifacts:push`: one file, its bytes as the body (acceptance Pu-27).
//!
//! Port's client says more, in headers that others leave out: the digest that the bytes must have, where they begin in a file whose
//! beginning came before, how large the file is, and that it is to be published with others.

use port_model::Digest;
use serde_json::json;

use super::metadata::{HEADER, Transfer};
use super::publish::{self, File};
use super::{Call, HostedError, reply};
use crate::catalog::{UploadError, UploadId};
use crate::gate::Action;
use crate::http::{Answer, RequestBody, incoming};
use crate::meters::Touched;
use crate::name::RepositoryName;
use crate::observe::Subject;

/// The digest that the whole file must have.
const DIGEST: &str = "x-port-content-digest";
/// Where the body begins in the file.
const OFFSET: &str = "x-port-upload-offset";
/// `stage`: the file is published by a later request.
const PUBLISH: &str = "x-port-publish";

pub(super) async fn push(call: &Call<'_>, body: RequestBody) -> Result<Answer, HostedError> {
    let header = call.head.header(HEADER).ok_or_else(|| {
        HostedError::metadata(format!("the header `{HEADER}` is missing: expected the metadata as JSON"))
    })?;
    let (transfer, place) = Transfer::read(header.as_bytes(), call.control_plane)?;
    call.require(Action::Push, &place.repository)?;
    let expected = digest(call)?;
    let begun = match offset(call)? {
        Some(offset) => Some((offset, expected.as_ref().ok_or_else(no_digest)?)),
        None => None,
    };
    let (file, received) =
        receive(call, &place.repository, begun, expected.as_ref(), body, &transfer).await?;
    if call.head.header(PUBLISH) != Some("stage") {
        publish::add(call.catalog, &place, file.clone()).await?;
    }
    let result = json!({
        "artifact_name": transfer.artifact_name,
        "reference": transfer.reference,
        "selector": transfer.selector,
        "filename": transfer.filename,
        "store_path": transfer.store_path,
        "bytes_copied": file.size,
        "bytes_received": received,
        "digest": file.digest,
    });
    let mut answer = reply::done(&call.head.path, call.control_plane, &result);
    let digest = &file.digest;
    let subject = format!("{} {} `{}` {digest}", place.reference, place.variant, transfer.filename);
    answer.extensions_mut().insert(Subject(subject));
    if call.head.header(PUBLISH) != Some("stage") {
        let what = format!("{} {}", place.tag, transfer.filename);
        answer.extensions_mut().insert(Touched { repository: place.repository, verb: "published", what });
    }
    Ok(answer)
}

fn no_digest() -> HostedError {
    HostedError::metadata(format!("a push that begins inside a file needs `{DIGEST}`"))
}

fn digest(call: &Call<'_>) -> Result<Option<Digest>, HostedError> {
    let parsed = call.head.header(DIGEST).map(str::parse).transpose();
    parsed.map_err(|error: port_model::DigestError| HostedError::metadata(error.to_string()))
}

fn offset(call: &Call<'_>) -> Result<Option<u64>, HostedError> {
    let parsed = call.head.header(OFFSET).map(str::parse).transpose();
    parsed.map_err(|_| HostedError::metadata(format!("`{OFFSET}` is no number of bytes")))
}

/// Takes the bytes into a session and makes them a blob; gives the file and how many bytes came now.
async fn receive(
    call: &Call<'_>,
    repository: &RepositoryName,
    begun: Option<(u64, &Digest)>,
    expected: Option<&Digest>,
    body: RequestBody,
    transfer: &Transfer,
) -> Result<(File, u64), HostedError> {
    let principal = call.principal.name.as_str();
    let id = match begun {
        Some((_, digest)) => staged(repository, principal, digest),
        None => UploadId::random().map_err(UploadError::from)?,
    };
    call.catalog.begin_upload(repository, principal, &id).await?;
    let at = begun.map_or(0, |(offset, _)| offset);
    let taken = async {
        let end = call.catalog.append_upload(repository, principal, &id, Some(at), incoming(body)).await?;
        let (digest, size) = call.catalog.finish_upload(repository, principal, &id, expected).await?;
        Ok::<_, UploadError>((digest, size, end.saturating_sub(at)))
    };
    match taken.await {
        Ok((digest, size, received)) => {
            Ok((File { name: transfer.filename.clone(), digest, size }, received))
        }
        Err(error) => {
            if begun.is_none() {
                // Nobody knows the session's name, so nobody could continue it.
                let _gone_already = call.catalog.cancel_upload(repository, principal, &id).await;
            }
            Err(error.into())
        }
    }
}

/// The session in which a caller brings these bytes, whichever connection and process it comes from.
pub(super) fn staged(repository: &RepositoryName, principal: &str, digest: &Digest) -> UploadId {
    UploadId::derived(&[repository.as_str(), principal, &digest.to_string()])
}
