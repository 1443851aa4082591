//! `POST /v1/artifacts:pull`: the bytes of one file (acceptance Pu-28), whole or from where a client was cut.

use hyper::StatusCode;
use port_model::Digest;

use super::metadata::{LARGEST, Place, Transfer};
use super::{Call, HostedError, publish};
use crate::gate::Action;
use crate::http::{Answer, Asked, RequestBody, Set as _, asked, read_small, streamed};
use crate::storage::{ByteRange, Content};

/// Where the bytes are.
enum Source {
    /// A blob that the variant's manifest names.
    Blob(Digest),
    /// A file at the readable path that nothing here describes: another tool put it there (acceptance C-5).
    Path,
}

pub(super) async fn pull(call: &Call<'_>, body: RequestBody) -> Result<Answer, HostedError> {
    let metadata = read_small(body, LARGEST).await?;
    let (transfer, place) = Transfer::read(&metadata, call.control_plane)?;
    call.require(Action::Pull, &place.repository)?;
    let (source, size) = find(call, &place, &transfer).await?;
    let range = match asked(call.head.header("range"), size) {
        Asked::Whole => None,
        Asked::Part(range) => Some(range),
        Asked::Unsatisfiable => {
            return Err(HostedError::range(format!(
                "the file has {size} bytes, and none of them are in that range"
            )));
        }
    };
    let content = open(call, &place, &transfer, &source, range).await?;
    let length = range.map_or(size, ByteRange::length);
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut answer = streamed(status, length, content.stream).set("accept-ranges", "bytes");
    if let Some(ByteRange { first, last }) = range {
        answer = answer.set("content-range", format!("bytes {first}-{last}/{size}"));
    }
    Ok(match source {
        Source::Blob(digest) => answer.set("x-port-content-digest", digest.to_string()),
        Source::Path => answer,
    })
}

fn unknown(place: &Place, transfer: &Transfer) -> HostedError {
    HostedError::not_found(format!(
        "there is no `{}` of `{}` for {}",
        transfer.filename, place.reference, place.variant
    ))
}

/// Who publishes packs chose that they move, and not the file (docs/formats/hosted-api.md).
fn encoded(place: &Place, transfer: &Transfer) -> HostedError {
    HostedError::not_found(format!(
        "`{}` of `{}` for {} is not here as itself: it was published packed or compressed; pull it with `port`, or as \
         `{}:{}` from this server's registry, or have it published with `encoding = \"raw\"`",
        transfer.filename, place.reference, place.variant, place.repository, place.tag
    ))
}

async fn find(call: &Call<'_>, place: &Place, transfer: &Transfer) -> Result<(Source, u64), HostedError> {
    let Some(published) = publish::find(call.catalog, place).await? else {
        let size = call.catalog.storage().size(&place.path(transfer.filename.as_str())).await?;
        return size.map(|size| (Source::Path, size)).ok_or_else(|| unknown(place, transfer));
    };
    let file = published.files().into_iter().find(|file| file.name == transfer.filename);
    let Some(file) = file else {
        return Err(if published.has_encoded() {
            encoded(place, transfer)
        } else {
            unknown(place, transfer)
        });
    };
    let size = call.catalog.blob_size(&place.repository, &file.digest).await?;
    size.map(|size| (Source::Blob(file.digest), size)).ok_or_else(|| unknown(place, transfer))
}

async fn open(
    call: &Call<'_>,
    place: &Place,
    transfer: &Transfer,
    source: &Source,
    range: Option<ByteRange>,
) -> Result<Content, HostedError> {
    let content = match source {
        Source::Blob(digest) => call.catalog.open_blob(digest, range).await?,
        Source::Path => call.catalog.storage().open(&place.path(transfer.filename.as_str()), range).await?,
    };
    content.ok_or_else(|| unknown(place, transfer))
}
