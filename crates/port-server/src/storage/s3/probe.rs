//! What an S3 server must keep before anything is entrusted to it: conditional writes that are real, listings that do not lag.
//!
//! Many servers take `If-None-Match` and `If-Match` and ignore them, or look first and write later. On such a one two control planes
//! would overwrite each other in silence, so it is refused by name.

use bytes::Bytes;
use futures_util::future;
use reqwest::Method;

use super::super::{Condition, Outcome, Version};
use super::client::{Client, Request, Take};
use super::failure::Failure;
use super::listing;
use super::objects::{self, Removals};
use crate::random;

/// How many try to make one object at once.
const RACERS: usize = 8;

/// What a server does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    Absent,
    Version,
    Race,
    Listing,
}

impl Lack {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Absent => "wrote an object that was there already in spite of `If-None-Match: *`",
            Self::Version => "replaced an object in spite of an `If-Match` with another ETag",
            Self::Race => {
                "let several of those that made one object at the same time with `If-None-Match: *` succeed"
            }
            Self::Listing => "did not list an object that it had acknowledged",
        }
    }
}

/// Tries it with objects of its own, which are gone afterwards.
pub(super) async fn probe(client: &Client) -> Result<Result<Removals, Lack>, Failure> {
    let place = format!("_probe/{}", random::hex().map_err(Failure::Random)?);
    let found = examine(client, &place).await;
    // What failed is told; a probe's object that stays harms nobody.
    if found.is_ok() {
        for name in ["one", "race"] {
            let _gone = objects::remove(client, &format!("{place}/{name}"), None).await;
        }
    }
    found
}

async fn examine(client: &Client, place: &str) -> Result<Result<Removals, Lack>, Failure> {
    let one = format!("{place}/one");
    let put = async |text: &'static str, condition: &Condition| {
        objects::put(client, &one, Bytes::from_static(text.as_bytes()), condition).await
    };
    if put("first", &Condition::Absent).await? != Outcome::Done
        || put("second", &Condition::Absent).await? != Outcome::Refused
    {
        return Ok(Err(Lack::Absent));
    }
    let listed = listing::below(client, &format!("{place}/"), 10).await?;
    if listed.iter().all(|entry| entry.name != "one") {
        return Ok(Err(Lack::Listing));
    }
    let Some(first) = objects::head(client, &one).await? else { return Ok(Err(Lack::Version)) };
    let version = Condition::Version(Version(first.etag.clone()));
    if put("second", &version).await? != Outcome::Done || put("third", &version).await? != Outcome::Refused {
        return Ok(Err(Lack::Version));
    }
    if !one_wins(client, &format!("{place}/race")).await? {
        return Ok(Err(Lack::Race));
    }
    removals(client, &one, &first.etag).await.map(Ok)
}

async fn one_wins(client: &Client, place: &str) -> Result<bool, Failure> {
    let racers = (0..RACERS).map(|racer| {
        let bytes = Bytes::from(format!("racer {racer}"));
        async move { objects::put(client, place, bytes, &Condition::Absent).await }
    });
    let results = future::try_join_all(racers).await?;
    Ok(results.iter().filter(|outcome| **outcome == Outcome::Done).count() == 1)
}

/// Asks for the removal of a version that is not there any more.
async fn removals(client: &Client, key: &str, old: &str) -> Result<Removals, Failure> {
    let request = Request::new(Method::DELETE, key).header("if-match", old);
    match client.send(&request, Take::Head).await {
        Err(failure) if failure.is_refused() => Ok(Removals::Conditional),
        Err(failure) if failure.is_not_implemented() => Ok(Removals::Plain),
        Err(failure) => Err(failure),
        Ok(_) => Ok(Removals::Plain),
    }
}
