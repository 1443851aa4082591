//! What refers to a manifest: by the referrers API, or by the tag that stands in for it (distribution-spec, "Referrers
//! Tag Schema"), read and written.
//!
//! The tag is an index that several writers change: see [`crate::merge`].

use bytes::Bytes;
use port_content::limit;
use port_model::Digest;
use reqwest::Method;
use reqwest::header::ACCEPT;

use crate::auth::Scopes;
use crate::descriptor::{Descriptor, Index};
use crate::error::{Failure, Kind};
use crate::host::Host;
use crate::list::page::{ListLimit, Pages};
use crate::media;
use crate::merge::{self, Stop};
use crate::mirror::Site;
use crate::name::RepositoryName;
use crate::pull::manifest::{self, Manifest};
use crate::request::Call;
use crate::tag::{Tag, TagOrDigest};

/// All that refers to a manifest, of one artifact type where one is named.
pub(crate) async fn all(
    host: &Host,
    repository: &RepositoryName,
    subject: &Digest,
    artifact_type: Option<&str>,
    limit: ListLimit,
) -> Result<Vec<Descriptor>, Failure> {
    // The API is asked every time: a registry that gets it lists there what nobody adds to the tag any more.
    let mut found = match by_api(host, repository, subject, artifact_type, limit).await? {
        Some(found) => found,
        None => by_tag(host, repository, subject).await?.map(|index| index.manifests).unwrap_or_default(),
    };
    limit.bound(found.len())?;
    // A registry may ignore the filter.
    if let Some(wanted) = artifact_type {
        found.retain(|descriptor| descriptor.artifact_type.as_deref() == Some(wanted));
    }
    Ok(found)
}

/// `None` where the registry does not have the API.
async fn by_api(
    host: &Host,
    repository: &RepositoryName,
    subject: &Digest,
    artifact_type: Option<&str>,
    limit: ListLimit,
) -> Result<Option<Vec<Descriptor>>, Failure> {
    let scopes = Scopes::pull(&host.endpoint.repository(repository));
    let mut url = host.endpoint.referrers(repository, subject);
    if let Some(wanted) = artifact_type {
        url.query_pairs_mut().append_pair("artifactType", wanted);
    }
    let mut pages = Pages::from(&url, limit);
    let mut found = Vec::new();
    let mut next = Some(url);
    while let Some(url) = next {
        let mut call =
            Call::new(Method::GET, url, repository, scopes.clone()).header(ACCEPT, media::OCI_INDEX);
        // One large registry redirects this to a web page for people.
        call.redirects = crate::request::Redirects::Returned;
        let reply = host.send(&call).await?;
        let is_index = reply.header("content-type").map(media::plain).as_deref() == Some(media::OCI_INDEX);
        match reply.status() {
            200 if is_index => {}
            200 | 300..=399 | 400 | 404 | 405 | 501 if found.is_empty() => return Ok(None),
            _ => return Err(Failure::of_status(reply.refusal(host).await)),
        }
        next = pages.next(host, &reply)?;
        let bytes = pages.read(host, reply).await?;
        found.extend(parse(&bytes)?.manifests);
        pages.bound(found.len())?;
    }
    Ok(Some(found))
}

/// The fallback index; `None` where there is none.
async fn by_tag(
    host: &Host,
    repository: &RepositoryName,
    subject: &Digest,
) -> Result<Option<Index>, Failure> {
    let name = TagOrDigest::Tag(Tag::of_referrers(subject));
    match manifest::fetch(host, repository, &name).await {
        Ok(manifest) => parse(&manifest.bytes).map(Some),
        Err(failure) if failure.kind() == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn parse(bytes: &[u8]) -> Result<Index, Failure> {
    media::check(media::OCI_INDEX, bytes)?;
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::BadAnswer(format!("the list of referrers is not well-formed: {error}")))
}

/// Adds a referrer to the fallback index of its subject, without losing what others add at the same time.
pub(crate) async fn add_to_tag(site: &Site, subject: &Digest, referrer: &Descriptor) -> Result<(), Failure> {
    let name = TagOrDigest::Tag(Tag::of_referrers(subject));
    let added = merge::update(site, &name, &|existing| with(existing, referrer)).await;
    added.map_err(|(Stop::Failure(failure) | Stop::Refused(failure))| failure)
}

/// The fallback index with the referrer in it; `None` where it is there already.
fn with(existing: Option<&Manifest>, referrer: &Descriptor) -> Result<Option<(String, Bytes)>, Failure> {
    let mut index = existing.map_or_else(|| Ok(empty()), |manifest| parse(&manifest.bytes))?;
    if index.manifests.iter().any(|known| known.digest == referrer.digest) {
        return Ok(None);
    }
    index.manifests.push(referrer.clone());
    let bytes = serde_json::to_vec(&index)
        .map_err(|error| Failure::BadAnswer(format!("the list of referrers cannot be written: {error}")))?;
    if bytes.len() as u64 > limit::DOCUMENT {
        return Err(Failure::BadAnswer("the list of referrers is full".to_owned()));
    }
    Ok(Some((media::OCI_INDEX.to_owned(), bytes.into())))
}

fn empty() -> Index {
    let rest = serde_json::Map::new();
    Index { schema_version: 2, media_type: Some(media::OCI_INDEX.to_owned()), manifests: Vec::new(), rest }
}
