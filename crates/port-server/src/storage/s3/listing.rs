//! Listings: pages of names, and one level of the tree by name.
//!
//! S3 sorts whole keys, and what is below `v1` has the key `v1/…`, which comes behind `v1-x`: so names that are prefixes of names
//! arrive late. A level is read until there are enough names, and the few that may be missing are asked for by themselves.

use std::collections::BTreeSet;
use std::time::SystemTime;

use jiff::Timestamp;
use reqwest::Method;

use super::super::{Child, ChildKind, Key};
use super::client::{Client, Request, Take};
use super::failure::Failure;
use super::xml::Element;

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// What is behind the prefix.
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) changed: Option<SystemTime>,
}

/// One page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    objects: Vec<Listed>,
    prefixes: Vec<String>,
    /// How to ask for the next one.
    next: Option<String>,
}

/// Which entries a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// One level; what is below is named once.
    Level,
    All,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
enum From<'a> {
    Start,
    /// Behind this name.
    Behind(&'a str),
    Token(&'a str),
}

async fn page(client: &Client, prefix: &str, depth: Depth, from: From<'_>) -> Result<Page, Failure> {
    let full = client.bucket().object(prefix);
    let mut request = Request::to_bucket(Method::GET).query("list-type", 2).query("prefix", &full);
    if depth == Depth::Level {
        request = request.query("delimiter", "/");
    }
    request = match from {
        From::Start => request,
        From::Behind(name) => request.query("start-after", format!("{full}{name}")),
        From::Token(token) => request.query("continuation-token", token),
    };
    let answer = client.send(&request, Take::Document).await?;
    parse(answer.text()?, &full)
}

/// Reads a page. NOTE: collection removes what it does not find named, so a page that may have lost an entry is none.
fn parse(text: &str, full: &str) -> Result<Page, Failure> {
    let root = Element::root(text).filter(|(name, _)| *name == "ListBucketResult");
    let (_, root) = root.ok_or(Failure::Malformed("is no listing"))?;
    let mut page = Page::default();
    for entry in root.children("Contents") {
        let key = entry.text("Key").ok_or(Failure::Malformed("lists an object without a key"))?;
        if let Some(name) = key.strip_prefix(full) {
            page.objects.push(listed(entry, name)?);
        }
    }
    for entry in root.children("CommonPrefixes") {
        let prefix = entry.text("Prefix").ok_or(Failure::Malformed("lists a prefix without its name"))?;
        let name = prefix.strip_prefix(full).and_then(|rest| rest.strip_suffix('/'));
        page.prefixes.extend(name.map(str::to_owned));
    }
    if root.text("IsTruncated").as_deref() == Some("true") {
        let next = root.text("NextContinuationToken").filter(|token| !token.is_empty());
        page.next =
            Some(next.ok_or(Failure::Malformed("is half a listing and does not say how it goes on"))?);
    }
    Ok(page)
}

fn listed(entry: Element<'_>, name: &str) -> Result<Listed, Failure> {
    let size = entry.text("Size").and_then(|text| text.parse().ok());
    let changed = entry.text("LastModified").and_then(|text| text.parse::<Timestamp>().ok());
    Ok(Listed {
        name: name.to_owned(),
        size: size.ok_or(Failure::Malformed("lists an object without a size"))?,
        etag: entry.text("ETag").unwrap_or_default(),
        changed: changed.map(SystemTime::from),
    })
}

/// Every object below a prefix, at any depth, in the order of keys; at most `most`.
pub(super) async fn below(client: &Client, prefix: &str, most: usize) -> Result<Vec<Listed>, Failure> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let from = token.as_deref().map_or(From::Start, From::Token);
        let page = page(client, prefix, Depth::All, from).await?;
        found.extend(page.objects);
        token = page.next;
        if token.is_none() || found.len() >= most {
            found.truncate(most);
            return Ok(found);
        }
    }
}

/// What is directly below a prefix, by name, behind `after`.
pub(super) async fn children(
    client: &Client,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Child>, Failure> {
    let mut found = BTreeSet::new();
    let mut token: Option<String> = None;
    let wanted =
        |name: &String| Key::new(name.as_str()).is_ok() && after.is_none_or(|after| name.as_str() > after);
    while found.len() < limit {
        let from = match (&token, after) {
            (Some(token), _) => From::Token(token),
            (None, Some(after)) => From::Behind(after),
            (None, None) => From::Start,
        };
        let page = page(client, prefix, Depth::Level, from).await?;
        let names = page.objects.into_iter().map(|object| (object.name, ChildKind::Object));
        let names: Vec<_> =
            names.chain(page.prefixes.into_iter().map(|name| (name, ChildKind::Prefix))).collect();
        // Where the scan stands, as S3 sorts.
        let last = names.iter().map(|(name, kind)| key_of(name, *kind)).max();
        found.extend(names.into_iter().filter(|(name, _)| wanted(name)));
        token = page.next;
        if token.is_none() {
            break;
        }
        if found.len() >= limit {
            for name in late(last.as_deref().unwrap_or_default()).filter(wanted) {
                if exists_below(client, &format!("{prefix}{name}/")).await? {
                    found.insert((name, ChildKind::Prefix));
                }
            }
        }
    }
    Ok(found.into_iter().take(limit).map(|(name, kind)| Child { name, kind }).collect())
}

fn key_of(name: &str, kind: ChildKind) -> String {
    if kind == ChildKind::Prefix { format!("{name}/") } else { name.to_owned() }
}

/// The names before `last` whose prefixes come behind it: its own beginnings, where a character follows that sorts before `/`.
fn late(last: &str) -> impl Iterator<Item = String> {
    let places = last.char_indices().filter(|(_, character)| *character < '/');
    places.filter_map(|(at, _)| last.get(..at)).filter(|name| !name.is_empty()).map(str::to_owned)
}

async fn exists_below(client: &Client, prefix: &str) -> Result<bool, Failure> {
    let request = Request::to_bucket(Method::GET)
        .query("list-type", 2)
        .query("prefix", client.bucket().object(prefix))
        .query("max-keys", 1);
    let answer = client.send(&request, Take::Document).await?;
    let (_, root) = Element::root(answer.text()?).ok_or(Failure::Malformed("is no listing"))?;
    Ok(root.children("Contents").next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_below_its_prefix() {
        let text = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>\
                    <Contents><Key>p/a</Key><Size>3</Size><ETag>&quot;e&quot;</ETag>\
                    <LastModified>2026-11-20T17:00:00.000Z</LastModified></Contents>\
                    <Contents><Key>elsewhere</Key><Size>3</Size></Contents>\
                    <CommonPrefixes><Prefix>p/b/</Prefix></CommonPrefixes></ListBucketResult>";
        let page = parse(text, "p/").unwrap();
        assert_eq!(
            (page.next.as_deref(), page.prefixes.as_slice()),
            (Some("t"), ["b".to_owned()].as_slice())
        );
        let [object] = page.objects.as_slice() else { panic!("{page:?}") };
        assert_eq!((object.name.as_str(), object.size, object.etag.as_str()), ("a", 3, "\"e\""));
        assert!(object.changed.is_some());
    }

    #[test]
    fn half_a_page_is_none() {
        let page = |inside: &str| {
            parse(&format!("<ListBucketResult>{inside}</ListBucketResult>"), "p/")
                .map_err(|error| error.to_string())
        };
        for (inside, expected) in [
            ("<IsTruncated>true</IsTruncated>", "does not say how it goes on"),
            ("<IsTruncated>true</IsTruncated><NextContinuationToken/>", "does not say how it goes on"),
            ("<Contents><Key>p/a</Key></Contents>", "without a size"),
            ("<Contents><Key>p/a</Key><Size>many</Size></Contents>", "without a size"),
            ("<Contents><Size>3</Size></Contents>", "without a key"),
            ("<CommonPrefixes/>", "without its name"),
        ] {
            let error = page(inside).unwrap_err();
            assert!(error.contains(expected), "{inside}: {error}");
        }
        assert_eq!(page("<Contents><Key>q/a</Key><Size>many</Size></Contents>"), Ok(Page::default()));
        assert!(parse("<Other/>", "p/").is_err());
    }

    #[test]
    fn names_that_come_late_are_known() {
        assert_eq!(late("v1-x86_64.y").collect::<Vec<_>>(), ["v1", "v1-x86_64"]);
        assert_eq!(late("plain/").count(), 0);
    }
}
