//! Single objects: looked for, read, written and removed under conditions, copied.
//!
//! A conditional write that was sent twice may have been refused by itself: the first try was done, and its answer was lost. So each
//! carries a mark of its own in the object's metadata, and a refusal after an uncertain try is believed only if the mark is not there.

use bytes::Bytes;
use reqwest::Method;

use super::super::{Condition, Document, Outcome, Version};
use super::client::{Client, Request, Take};
use super::failure::Failure;
use super::multipart;
use crate::random;

/// Which write an object is of.
const MARK: &str = "x-amz-meta-port-write";
/// How often a copy begins anew whose source changes.
const COPIES: u32 = 8;

/// What is known of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) size: u64,
    pub(super) etag: String,
    mark: Option<String>,
}

/// Whether the server keeps conditions on removals. Writes must have them; Amazon has removals with conditions since 2025, others
/// have not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removals {
    Conditional,
    /// It ignores them, or knows no such thing: what may only go in a certain state stays.
    Plain,
}

pub(super) async fn head(client: &Client, key: &str) -> Result<Option<Head>, Failure> {
    let answer = match client.send(&Request::new(Method::HEAD, key), Take::Head).await {
        Ok(answer) => answer,
        Err(failure) if failure.is_absent() => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let size = answer.header("content-length").and_then(|text| text.parse().ok());
    let size = size.ok_or(Failure::Malformed("does not say how large the object is"))?;
    Ok(Some(Head { size, etag: answer.etag()?, mark: answer.header(MARK).map(str::to_owned) }))
}

/// Reads a small object.
pub(super) async fn read(client: &Client, key: &str, limit: u64) -> Result<Option<Document>, Failure> {
    match client.send(&Request::new(Method::GET, key), Take::Bytes(limit)).await {
        Ok(answer) => {
            let version = Version(answer.etag()?);
            Ok(Some(Document { bytes: answer.bytes, version }))
        }
        Err(failure) if failure.is_absent() => Ok(None),
        Err(failure) => Err(failure),
    }
}

pub(super) async fn put(
    client: &Client,
    key: &str,
    bytes: Bytes,
    condition: &Condition,
) -> Result<Outcome, Failure> {
    let mark = random::hex().map_err(Failure::Random)?;
    let request = Request::new(Method::PUT, key).body(bytes).header(MARK, &mark);
    let request = match condition {
        Condition::Always => request,
        Condition::Absent => request.header("if-none-match", "*"),
        Condition::Version(version) => request.header("if-match", &version.0),
    };
    match client.send(&request, Take::Head).await {
        Ok(_) => Ok(Outcome::Done),
        Err(failure) if failure.is_refused() || (*condition != Condition::Always && failure.is_absent()) => {
            let is_ours = failure.is_uncertain()
                && head(client, key).await?.is_some_and(|found| found.mark.as_ref() == Some(&mark));
            Ok(if is_ours { Outcome::Done } else { Outcome::Refused })
        }
        Err(failure) => Err(failure),
    }
}

pub(super) async fn delete(
    client: &Client,
    removals: Removals,
    key: &str,
    condition: &Condition,
) -> Result<Outcome, Failure> {
    if *condition == Condition::Absent {
        return Ok(Outcome::Refused);
    }
    let Some(found) = head(client, key).await? else { return Ok(Outcome::Refused) };
    match condition {
        Condition::Version(version) if removals == Removals::Plain || version.0 != found.etag => {
            Ok(Outcome::Refused)
        }
        Condition::Version(version) => remove(client, key, Some(&version.0)).await,
        _ => remove(client, key, None).await,
    }
}

/// Removes an object, if it still is what it was where that is said.
pub(super) async fn remove(client: &Client, key: &str, etag: Option<&str>) -> Result<Outcome, Failure> {
    let request = Request::new(Method::DELETE, key);
    let request = etag.into_iter().fold(request, |request, etag| request.header("if-match", etag));
    match client.send(&request, Take::Head).await {
        Ok(_) => Ok(Outcome::Done),
        // A try before this one removed it, as far as anybody can tell.
        Err(failure) if failure.is_absent() && failure.is_uncertain() => Ok(Outcome::Done),
        Err(failure) if failure.is_absent() || failure.is_refused() => Ok(Outcome::Refused),
        Err(failure) => Err(failure),
    }
}

/// Makes `to` an object with the bytes that `from` has at that moment; gives what was copied.
pub(super) async fn copy(client: &Client, from: &str, to: &str) -> Result<Option<Head>, Failure> {
    copy_in_parts(client, from, to, multipart::COPIED_PART).await
}

/// The same, with at most so many bytes in one request: S3 takes 5 GiB, and says nothing until it copied them all.
pub(super) async fn copy_in_parts(
    client: &Client,
    from: &str,
    to: &str,
    most: u64,
) -> Result<Option<Head>, Failure> {
    for tried in 1..=COPIES {
        let Some(found) = head(client, from).await? else { return Ok(None) };
        let copied = if found.size > most {
            multipart::copy_large(client, from, &found, to, most).await
        } else {
            copy_whole(client, from, &found.etag, to).await
        };
        match copied {
            Ok(()) => return Ok(Some(found)),
            // It went, or changed: the next look says.
            Err(failure) if (failure.is_absent() || failure.is_refused()) && tried < COPIES => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

pub(super) async fn copy_whole(client: &Client, from: &str, etag: &str, to: &str) -> Result<(), Failure> {
    let request = Request::new(Method::PUT, to)
        .header("x-amz-copy-source", client.copy_source(from))
        .header("x-amz-copy-source-if-match", etag);
    client.send(&request, Take::Document).await.map(drop)
}

/// Copies, and removes the source if it still is what was copied.
pub(super) async fn relocate(
    client: &Client,
    removals: Removals,
    from: &str,
    to: &str,
) -> Result<bool, Failure> {
    if removals == Removals::Plain {
        // What is put there meanwhile would go with it.
        return Ok(false);
    }
    let Some(copied) = copy(client, from, to).await? else { return Ok(false) };
    // Refused is as good: something else is there now, and what was there is at its new place.
    let _stays = remove(client, from, Some(&copied.etag)).await?;
    Ok(true)
}
