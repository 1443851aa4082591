//! Manifests and indexes: resolved by HEAD, read by GET, at most 4 MiB, checked against digest and media type.

use bytes::Bytes;
use port_content::hashing::Hasher;
use port_content::{limit, verify};
use port_model::Digest;
use reqwest::Method;
use reqwest::header::ACCEPT;

use crate::auth::Scopes;
use crate::error::{Failure, quote};
use crate::host::Host;
use crate::media::{self, DocumentKind};
use crate::name::RepositoryName;
use crate::request::Call;
use crate::tag::TagOrDigest;

/// What a tag points to, as the registry says. The bytes were not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// What the registry calls this state of the tag, for a conditional write.
    pub etag: Option<String>,
}

/// A manifest or index whose bytes have the digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type, without parameters; one of [`crate::media`].
    pub media_type: String,
    /// Whether it is a manifest or an index.
    pub kind: DocumentKind,
    /// Its bytes.
    pub bytes: Bytes,
    /// What the registry calls this state of the tag, for a conditional write.
    pub etag: Option<String>,
}

/// The digest of bytes in the algorithm of another digest.
pub(crate) fn digest_like(digest: &Digest, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::of(digest.algorithm());
    hasher.update(bytes);
    hasher.finish()
}

/// `Docker-Content-Digest`, if there is one. A text that is no digest is what only an attacker sends.
/// What `Docker-Content-Digest` says.
pub(crate) fn stated_digest(header: Option<&str>) -> Result<Option<Digest>, Failure> {
    match header {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| Failure::Hostile(format!("`{}` as the digest of what it sends", quote(text)))),
    }
}

pub(crate) async fn resolve(
    host: &Host,
    repository: &RepositoryName,
    name: &TagOrDigest,
) -> Result<Resolved, Failure> {
    let reply = host.send(&call(host, Method::HEAD, repository, name)).await?;
    // HEAD is not everywhere; the registry's reason is in the body of a GET only.
    if reply.status() != 200 {
        // It counts as a running request until then, and the next one may have to wait for it.
        drop(reply);
        return fetch(host, repository, name).await.map(Resolved::from);
    }
    let digest = stated_digest(reply.header("docker-content-digest"))?;
    let size = reply.header("content-length").and_then(|text| text.parse().ok()).filter(|size| *size > 0);
    let media_type = reply.header("content-type").map(media::plain);
    let etag = reply.header("etag").map(str::to_owned);
    drop(reply);
    let (Some(digest), Some(size), Some(media_type)) = (digest, size, media_type) else {
        return fetch(host, repository, name).await.map(Resolved::from);
    };
    if let TagOrDigest::Digest(asked) = name
        && asked.algorithm() == digest.algorithm()
        && *asked != digest
    {
        return Err(mismatch(asked, digest, size));
    }
    if media::kind_of(&media_type).is_none() {
        return Err(Failure::UnknownContent { found: quote(&media_type) });
    }
    if size > limit::DOCUMENT {
        return Err(Failure::Hostile(format!(
            "a manifest of {size} bytes; at most {} are read",
            limit::DOCUMENT
        )));
    }
    let digest = if let TagOrDigest::Digest(asked) = name { asked.clone() } else { digest };
    Ok(Resolved { digest, media_type, size, etag })
}

pub(crate) async fn fetch(
    host: &Host,
    repository: &RepositoryName,
    name: &TagOrDigest,
) -> Result<Manifest, Failure> {
    let call = call(host, Method::GET, repository, name);
    let whole = host.send_whole(&call, limit::DOCUMENT).await?;
    let stated = stated_digest(whole.header("docker-content-digest"))?;
    let media_type = whole.header("content-type").map(media::plain).unwrap_or_default();
    let etag = whole.header("etag").map(str::to_owned);
    let bytes = whole.bytes;
    let asked = if let TagOrDigest::Digest(asked) = name { Some(asked.clone()) } else { None };
    // Each digest that was named is checked in its own algorithm; the one asked for is the one returned.
    for named in asked.iter().chain(&stated) {
        let found = digest_like(named, &bytes);
        if found != *named {
            return Err(mismatch(named, found, bytes.len() as u64));
        }
    }
    let digest = asked.or(stated).unwrap_or_else(|| port_content::hashing::digest_of(&bytes));
    let kind = media::check(&media_type, &bytes)?;
    Ok(Manifest { digest, media_type, kind, bytes: bytes.into(), etag })
}

/// Refuses an encoded body: its bytes would not be the ones that the digest names.
pub(crate) fn refuse_encoding(content_encoding: Option<&str>) -> Result<(), Failure> {
    match content_encoding {
        None | Some("" | "identity") => Ok(()),
        Some(found) => {
            Err(Failure::Hostile(format!("content encoded as `{}`, which was not asked for", quote(found))))
        }
    }
}

fn call<'a>(host: &Host, method: Method, repository: &'a RepositoryName, name: &TagOrDigest) -> Call<'a> {
    let scopes = Scopes::pull(&host.endpoint.repository(repository));
    let url = host.endpoint.manifest(repository, name);
    Call::new(method, url, repository, scopes).header(ACCEPT, media::ACCEPT)
}

fn mismatch(expected: &Digest, found: Digest, size: u64) -> Failure {
    Failure::Corrupt(verify::Mismatch::Digest { expected: expected.clone(), found, size })
}

impl From<Manifest> for Resolved {
    fn from(manifest: Manifest) -> Self {
        let size = manifest.bytes.len() as u64;
        Self { digest: manifest.digest, media_type: manifest.media_type, size, etag: manifest.etag }
    }
}
