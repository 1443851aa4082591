//! What Port's own client asks besides: how far a file is, what is published, and to publish several files at once.

use port_content::hashing::digest_of;
use port_content::limit;
use port_model::{Digest, FileName};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::metadata::{LARGEST, Place, Transfer, Which};
use super::publish::{self, Documents, File};
use super::push::staged;
use super::{Call, HostedError, reply};
use crate::catalog::UploadError;
use crate::gate::Action;
use crate::http::{Answer, RequestBody, read_small};
use crate::meters::Touched;

/// The most files of one variant.
const MOST_FILES: usize = 100;

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HostedError> {
    serde_json::from_slice(bytes)
        .map_err(|error| HostedError::metadata(format!("the request cannot be read: {error}")))
}

#[derive(Deserialize)]
struct Wanted {
    digest: Digest,
}

/// Whether a file's bytes are here already, and if not, how many of them.
pub(super) async fn status(call: &Call<'_>, body: RequestBody) -> Result<Answer, HostedError> {
    let bytes = read_small(body, LARGEST).await?;
    let (_, place) = Transfer::read(&bytes, call.control_plane)?;
    let wanted: Wanted = read(&bytes)?;
    call.require(Action::Push, &place.repository)?;
    let held = call.catalog.blob_size(&place.repository, &wanted.digest).await?;
    let principal = call.principal.name.as_str();
    let offset = match held {
        Some(size) => size,
        None => {
            let id = staged(&place.repository, principal, &wanted.digest);
            match call.catalog.upload_offset(&place.repository, principal, &id).await {
                Err(UploadError::Unknown) => 0,
                other => other?,
            }
        }
    };
    let result = json!({"held": held.is_some(), "offset": offset});
    Ok(reply::done(&call.head.path, call.control_plane, &result))
}

/// The files of a variant and what describes them.
pub(super) async fn resolve(call: &Call<'_>, body: RequestBody) -> Result<Answer, HostedError> {
    let which: Which = read(&read_small(body, LARGEST).await?)?;
    let place = Place::of(&which.reference, which.selector)?;
    call.require(Action::Pull, &place.repository)?;
    let unknown =
        || HostedError::not_found(format!("there is no `{}` for {}", place.reference, place.variant));
    let (files, documents) = match publish::find(call.catalog, &place).await? {
        Some(published) => {
            let documents = published.documents(call.catalog, &place).await?;
            let files = published
                .files()
                .into_iter()
                .map(|file| json!({"filename": file.name, "digest": file.digest, "size": file.size}));
            (files.collect(), documents)
        }
        None => (undescribed(call, &place).await?, None),
    };
    if files.is_empty() && documents.is_none() {
        return Err(unknown());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let documents = documents
        .map(|documents| json!({"manifest": text(&documents.manifest), "config": text(&documents.config)}));
    let result = json!({"repository": place.repository.as_str(), "files": files, "documents": documents});
    Ok(reply::done(&call.head.path, call.control_plane, &result))
}

/// Files at the readable path that another tool put there; their digests are not known.
async fn undescribed(call: &Call<'_>, place: &Place) -> Result<Vec<serde_json::Value>, HostedError> {
    let mut files = Vec::new();
    for child in call.catalog.storage().list(&place.directory(), None, MOST_FILES).await? {
        let name: Option<FileName> = child.name.parse().ok().filter(|_| !child.name.ends_with(".sha256"));
        let Some(name) = name else { continue };
        if let Some(size) = call.catalog.storage().size(&place.path(name.as_str())).await? {
            files.push(json!({"filename": name, "size": size}));
        }
    }
    Ok(files)
}

#[derive(Deserialize)]
struct Publication {
    #[serde(flatten)]
    which: Which,
    files: Vec<Named>,
    manifest: String,
    config: String,
    #[serde(default)]
    publish: Extent,
}

/// How far a publication goes.
#[derive(Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Extent {
    /// The documents are kept, and found by their digests: an index can name them.
    Stage,
    /// The variant's name means them.
    #[default]
    Name,
}

#[derive(Deserialize)]
struct Named {
    filename: FileName,
    digest: Digest,
}

/// Publishes files that were staged, with their documents, in place of what was there.
pub(super) async fn publish(call: &Call<'_>, body: RequestBody) -> Result<Answer, HostedError> {
    let publication: Publication = read(&read_small(body, 3 * limit::DOCUMENT).await?)?;
    let place = Place::of(&publication.which.reference, publication.which.selector)?;
    call.require(Action::Push, &place.repository)?;
    if publication.files.len() > MOST_FILES {
        return Err(HostedError::metadata(format!("a variant has at most {MOST_FILES} files")));
    }
    let mut files: Vec<File> = Vec::new();
    for Named { filename, digest } in publication.files {
        if files.iter().any(|file| file.name == filename) {
            return Err(HostedError::metadata(format!("`{filename}` is there twice")));
        }
        let Some(size) = call.catalog.blob_size(&place.repository, &digest).await? else {
            return Err(HostedError::conflict(format!(
                "the bytes of `{filename}` are not here: expected {digest}"
            )));
        };
        files.push(File { name: filename, digest, size });
    }
    let documents = Documents { manifest: publication.manifest.into(), config: publication.config.into() };
    let manifest = publish::keep(call.catalog, &place, &files, &documents).await?;
    if publication.publish == Extent::Name {
        publish::name(call.catalog, &place, &manifest).await?;
    }
    let digest = digest_of(&manifest);
    let result =
        json!({"repository": place.repository.as_str(), "tag": place.tag.as_str(), "manifest": digest});
    let mut answer = reply::done(&call.head.path, call.control_plane, &result);
    if publication.publish == Extent::Name {
        let what = place.tag.to_string();
        answer.extensions_mut().insert(Touched { repository: place.repository, verb: "published", what });
    }
    Ok(answer)
}
