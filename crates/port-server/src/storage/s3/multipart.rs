//! Objects put together on the server: out of many, or out of ranges of one that is too large for a single copy.
//!
//! ```text
//! create ─► parts (copied on the server, or sent) ─► complete     the object is there, whole, in one step
//!                                                └─► abort        where something failed
//! ```
//!
//! CRASH: a kill leaves an upload of S3's own that nobody sees and somebody pays for; [`tidy`] ends those that are old, by the
//! server's own clock.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;

use super::client::{Client, Request, Take};
use super::failure::Failure;
use super::objects::{self, Head};
use super::xml::Element;

/// Parts but the last one must have so many bytes.
const SMALLEST_PART: u64 = 5 << 20;
/// What is sent at once where nothing is gained by copying on the server.
const WHOLE: u64 = 8 << 20;
/// The most that is copied in one request, during which the server may say nothing.
pub(super) const COPIED_PART: u64 = 1 << 30;
/// S3 takes 10,000.
const MOST_PARTS: u64 = 9_900;
/// How many parts are on their way at once.
const AT_ONCE: usize = 4;
/// What objects are put together below. NOTE: a bucket without a prefix may have uploads of others in it.
const COMPOSED: [&str; 4] = ["artifacts/", "blobs/", "quarantine/", "trash/"];
/// How old an upload is that nobody completes any more.
const ABANDONED: SignedDuration = SignedDuration::from_hours(24);

/// Bytes that are an object already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) key: String,
    pub(super) etag: String,
    pub(super) size: u64,
}

/// How a part gets its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// The server copies a whole object.
    Copied(Piece),
    /// The server copies a range of one.
    Range(Piece, u64, u64),
    /// Objects that are too small to be parts pass through here, one group at a time.
    Sent(Vec<Piece>),
}

/// Makes `to` an object of pieces in their order.
pub(super) async fn compose(client: &Client, pieces: Vec<Piece>, to: &str) -> Result<(), Failure> {
    let size: u64 = pieces.iter().map(|piece| piece.size).sum();
    match pieces.as_slice() {
        [only] if only.size <= COPIED_PART => objects::copy_whole(client, &only.key, &only.etag, to).await,
        _ if size <= WHOLE => {
            let request = Request::new(Method::PUT, to).body(gathered(client, &pieces).await?);
            client.send(&request, Take::Head).await.map(drop)
        }
        _ => together(client, grouped(pieces, size), to).await,
    }
}

/// Copies an object that is too large for one request, in parts of so many bytes.
pub(super) async fn copy_large(
    client: &Client,
    from: &str,
    head: &Head,
    to: &str,
    part: u64,
) -> Result<(), Failure> {
    let piece = Piece { key: from.to_owned(), etag: head.etag.clone(), size: head.size };
    let step = part.max(head.size.div_ceil(MOST_PARTS));
    let starts = (0..head.size.div_ceil(step)).map(|number| number.saturating_mul(step));
    let ranges = starts.map(|first| {
        let last = first.saturating_add(step).min(head.size).saturating_sub(1);
        Part::Range(piece.clone(), first, last)
    });
    together(client, ranges.collect(), to).await
}

/// Groups of neighbours, each large enough to be a part, and few enough of them.
fn grouped(pieces: Vec<Piece>, size: u64) -> Vec<Part> {
    let smallest = SMALLEST_PART.max(size.div_ceil(MOST_PARTS));
    let (mut parts, mut group, mut length) = (Vec::new(), Vec::new(), 0u64);
    for piece in pieces {
        length = length.saturating_add(piece.size);
        group.push(piece);
        if length >= smallest {
            parts.push(part_of(std::mem::take(&mut group)));
            length = 0;
        }
    }
    // The last one may be small.
    parts.extend((!group.is_empty()).then(|| part_of(group)));
    parts
}

fn part_of(mut group: Vec<Piece>) -> Part {
    match (group.len(), group.pop()) {
        (1, Some(only)) => Part::Copied(only),
        (_, last) => {
            group.extend(last);
            Part::Sent(group)
        }
    }
}

async fn together(client: &Client, parts: Vec<Part>, to: &str) -> Result<(), Failure> {
    let request = Request::new(Method::POST, to).query("uploads", "");
    let answer = client.send(&request, Take::Document).await?;
    let id = Element::root(answer.text()?).and_then(|(_, root)| root.text("UploadId"));
    let id = id.ok_or(Failure::Malformed("names no upload"))?;
    let done = fill(client, parts, to, &id).await;
    if done.is_err() {
        let request = Request::new(Method::DELETE, to).query("uploadId", &id);
        // What failed is told; what stays is tidied up later.
        let _aborted = client.send(&request, Take::Head).await;
    }
    done
}

async fn fill(client: &Client, parts: Vec<Part>, to: &str, id: &str) -> Result<(), Failure> {
    let numbered = parts.into_iter().zip(1u32..);
    let sent = stream::iter(numbered.map(|(part, number)| async move {
        let etag = put_part(client, part, to, id, number).await?;
        Ok::<_, Failure>(format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"))
    }));
    let lines: Vec<String> = sent.buffered(AT_ONCE).try_collect().await?;
    let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", lines.concat());
    let request = Request::new(Method::POST, to)
        .query("uploadId", id)
        .header("content-type", "application/xml")
        .body(Bytes::from(body));
    match client.send(&request, Take::Document).await {
        // A try before this one completed it, or somebody ended it: the object says which.
        Err(failure) if failure.is_absent() && failure.is_uncertain() => {
            objects::head(client, to).await?.map(drop).ok_or(failure)
        }
        other => other.map(drop),
    }
}

async fn put_part(client: &Client, part: Part, to: &str, id: &str, number: u32) -> Result<String, Failure> {
    let request = Request::new(Method::PUT, to).query("partNumber", number).query("uploadId", id);
    let (piece, range) = match part {
        Part::Sent(pieces) => {
            let request = request.body(gathered(client, &pieces).await?);
            return client.send(&request, Take::Head).await?.etag();
        }
        Part::Copied(piece) => (piece, None),
        Part::Range(piece, first, last) => (piece, Some(format!("bytes={first}-{last}"))),
    };
    let request = request
        .header("x-amz-copy-source", client.copy_source(&piece.key))
        .header("x-amz-copy-source-if-match", &piece.etag);
    let request =
        range.into_iter().fold(request, |request, range| request.header("x-amz-copy-source-range", range));
    let answer = client.send(&request, Take::Document).await?;
    let etag = Element::root(answer.text()?).and_then(|(_, root)| root.text("ETag"));
    etag.ok_or(Failure::Malformed("names no ETag of the part"))
}

/// The bytes of a few small objects.
async fn gathered(client: &Client, pieces: &[Piece]) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::new();
    for piece in pieces {
        let request = Request::new(Method::GET, &piece.key).header("if-match", &piece.etag);
        let answer = client.send(&request, Take::Bytes(piece.size)).await?;
        if answer.bytes.len() as u64 != piece.size {
            return Err(Failure::Cut { expected: piece.size, found: answer.bytes.len() as u64 });
        }
        bytes.extend_from_slice(&answer.bytes);
    }
    Ok(bytes.freeze())
}

/// Ends uploads of S3's own that a kill left; gives how many.
pub(super) async fn tidy(client: &Client) -> Result<u64, Failure> {
    let mut ended = 0;
    for below in COMPOSED {
        ended += tidy_below(client, &client.bucket().object(below)).await?;
    }
    Ok(ended)
}

async fn tidy_below(client: &Client, full: &str) -> Result<u64, Failure> {
    let request = Request::to_bucket(Method::GET).query("uploads", "").query("prefix", full);
    let answer = client.send(&request, Take::Document).await?;
    let now = answer.header("date").and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    // Without the server's time no age is known.
    let Some(now) = now.map(|now| now.timestamp()) else { return Ok(0) };
    let Some((_, root)) = Element::root(answer.text()?) else { return Ok(0) };
    let ours = client.bucket().object("");
    let mut ended = 0;
    for upload in root.children("Upload") {
        let begun = upload.text("Initiated").and_then(|text| text.parse::<Timestamp>().ok());
        let is_old = begun.is_some_and(|begun| now.duration_since(begun) >= ABANDONED);
        let key = upload.text("Key").filter(|key| key.starts_with(full));
        let name = key.and_then(|key| key.strip_prefix(&ours).map(str::to_owned));
        if let (true, Some(name), Some(id)) = (is_old, name, upload.text("UploadId")) {
            let request = Request::new(Method::DELETE, &name).query("uploadId", id);
            match client.send(&request, Take::Head).await {
                Ok(_) => ended += 1,
                Err(failure) if failure.is_absent() => {}
                Err(failure) => return Err(failure),
            }
        }
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn sizes(sizes: &[u64]) -> Vec<u64> {
        let pieces: Vec<Piece> =
            sizes.iter().map(|size| Piece { key: "k".into(), etag: "e".into(), size: *size }).collect();
        let parts = grouped(pieces, sizes.iter().sum());
        let size = |part: Part| match part {
            Part::Copied(piece) | Part::Range(piece, ..) => piece.size,
            Part::Sent(pieces) => pieces.iter().map(|piece| piece.size).sum(),
        };
        parts.into_iter().map(size).collect()
    }

    #[test]
    fn small_neighbours_become_one_part_and_large_ones_stay_alone() {
        assert_eq!(sizes(&[8 * MIB, 8 * MIB, 3]), [8 * MIB, 8 * MIB, 3]);
        assert_eq!(sizes(&[MIB, MIB, 8 * MIB, MIB, 8 * MIB, 1, 2]), [10 * MIB, 9 * MIB, 3]);
        assert_eq!(sizes(&[MIB; 12]), [5 * MIB, 5 * MIB, 2 * MIB]);
    }

    #[test]
    fn there_are_never_more_parts_than_s3_takes() {
        let parts = sizes(&vec![8 * MIB; 25_000]);
        assert!(parts.len() <= 10_000, "{}", parts.len());
        assert_eq!(parts.iter().sum::<u64>(), 25_000 * 8 * MIB);
    }
}
