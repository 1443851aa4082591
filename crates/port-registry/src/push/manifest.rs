//! Manifests written, by tag or digest, on condition where a state was seen; and whether pushing is allowed at all.

use bytes::Bytes;
use port_content::limit;
use port_content::verify::Mismatch;
use port_model::Digest;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};

use crate::auth::Scopes;
use crate::error::Failure;
use crate::host::Host;
use crate::media;
use crate::name::RepositoryName;
use crate::pull::manifest::{digest_like, stated_digest};
use crate::push::session::Uploads;
use crate::request::body::Body;
use crate::request::{Call, Reply};
use crate::tag::TagOrDigest;

/// In which state a tag must be to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    /// In any.
    None,
    /// In the one with this ETag.
    Unchanged(&'a str),
    /// Not there.
    Absent,
}

/// A manifest that a registry took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The digest of its bytes.
    pub digest: Digest,
    /// What the registry calls this state of the tag.
    pub etag: Option<String>,
    /// The subject that the registry will list it under (`OCI-Subject`). A registry without the referrers API says none.
    pub subject: Option<Digest>,
}

pub(crate) async fn put(
    host: &Host,
    repository: &RepositoryName,
    name: &TagOrDigest,
    (media_type, bytes): (&str, &Bytes),
    condition: Condition<'_>,
) -> Result<Written, Failure> {
    if bytes.len() as u64 > limit::DOCUMENT {
        let (expected, found) = (limit::DOCUMENT, bytes.len() as u64);
        return Err(Failure::WrongSource(Mismatch::Size { expected, found, more: false }));
    }
    media::check(media_type, bytes)?;
    let digest = match name {
        TagOrDigest::Digest(digest) => {
            let found = digest_like(digest, bytes);
            if found != *digest {
                let (expected, size) = (digest.clone(), bytes.len() as u64);
                return Err(Failure::WrongSource(Mismatch::Digest { expected, found, size }));
            }
            found
        }
        TagOrDigest::Tag(_) => port_content::hashing::digest_of(bytes),
    };
    let scopes = Scopes::push(&host.endpoint.repository(repository));
    let mut call = Call::new(Method::PUT, host.endpoint.manifest(repository, name), repository, scopes)
        .header(CONTENT_TYPE, media_type)
        .body(Body::Bytes(bytes.clone()), None)
        .commits();
    call = match condition {
        Condition::None => call,
        Condition::Unchanged(etag) => call.header(IF_MATCH, etag),
        Condition::Absent => call.header(IF_NONE_MATCH, "*"),
    };
    let reply = host.send(&call).await?.expect(host, &[201, 202, 200]).await?;
    confirm(&reply, &digest)?;
    let subject = reply.header("oci-subject").and_then(|text| text.parse().ok());
    let etag = reply.header("etag").map(str::to_owned);
    reply.finish(host).await;
    Ok(Written { digest, etag, subject })
}

/// Compares the digest that a registry names for what it took with the one of what was sent. One in another algorithm
/// says nothing.
pub(crate) fn confirm(reply: &Reply, digest: &Digest) -> Result<(), Failure> {
    match stated_digest(reply.header("docker-content-digest"))? {
        Some(found) if found.algorithm() == digest.algorithm() && found != *digest => {
            Err(Failure::BadAnswer(format!("it was sent {digest} and confirms {found}")))
        }
        _ => Ok(()),
    }
}

/// Begins an upload and gives it up: the cheapest question whose answer is the one for a real push.
pub(crate) async fn may_push(host: &Host, repository: &RepositoryName) -> Result<(), Failure> {
    let uploads = Uploads::new(host, repository);
    let session = uploads.begin().await?;
    uploads.cancel(&session.location).await;
    Ok(())
}
