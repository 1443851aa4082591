//! The index of a version, through the server's other face: read, merged by the caller, and written only in place of what was read.

use port_content::hashing::digest_of;
use port_content::limit;
use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};

use super::wire::{Call, Failed};
use crate::backend::{Document, MergeIndex};
use crate::error::{BackendError, ErrorKind};

/// How often a writer tries again that another one was faster than.
const TRIES: u32 = 20;
/// What may stand under a version.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// An index, and what tells it from others.
#[derive(Default)]
pub(super) struct Read {
    pub(super) document: Option<Document>,
    tag: Option<String>,
}

fn path(call: &Call<'_>) -> String {
    let reference = call.reference;
    // As the server maps names (docs/formats/hosted-api.md).
    let registry = reference.registry().replace(':', "__");
    format!("/v2/{registry}/{}/manifests/{}", reference.repository(), reference.version())
}

pub(super) async fn read(call: &Call<'_>) -> Result<Read, BackendError> {
    let request = call.request(Method::GET, &path(call)).header(ACCEPT, ACCEPTED);
    let response = match call.send(request).await {
        Err(failed) if failed.kind == ErrorKind::NotFound => return Ok(Read::default()),
        other => other.map_err(|failed| call.failed(failed))?,
    };
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (media_type, tag) = (header(CONTENT_TYPE).unwrap_or_default(), header(ETAG));
    let bytes = call.read(response).await.map_err(|failed| call.failed(failed))?;
    if bytes.len() as u64 > limit::DOCUMENT {
        let reason = format!("the index has {} bytes: at most {} are read", bytes.len(), limit::DOCUMENT);
        return Err(call.failed(Failed::final_of(ErrorKind::Corrupt, reason)));
    }
    Ok(Read { document: Some(Document { media_type, bytes }), tag })
}

/// Puts the variant into the index, however many do so at the same time.
pub(super) async fn merge(call: &Call<'_>, merge: MergeIndex<'_>) -> Result<(), BackendError> {
    for _ in 0..TRIES {
        let before = read(call).await?;
        let merged = merge(before.document.as_ref())
            .map_err(|reason| call.failed(Failed::final_of(ErrorKind::Conflict, reason)))?;
        let Some(document) = merged else { return Ok(()) };
        let request = call.request(Method::PUT, &path(call)).header(CONTENT_TYPE, document.media_type);
        // A proxy may take the tag away; what the server compares with is the digest.
        let read = before.document.map(|document| format!("\"{}\"", digest_of(&document.bytes)));
        let request = match before.tag.or(read) {
            Some(tag) => request.header(IF_MATCH, tag),
            None => request.header(IF_NONE_MATCH, "*"),
        };
        let response =
            call.answer(request.body(document.bytes)).await.map_err(|failed| call.failed(failed))?;
        if response.status().is_success() {
            return Ok(());
        }
        if response.status() != StatusCode::PRECONDITION_FAILED {
            let reason = format!("the server answered {} to the index", response.status());
            return Err(call.failed(Failed::final_of(ErrorKind::Failed, reason)));
        }
    }
    let reason = "others change the index all the time; try again";
    Err(call.failed(Failed::final_of(ErrorKind::Conflict, reason)))
}
