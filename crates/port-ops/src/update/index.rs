//! index: the published manifests of a release under one tag, and the channel moved to it (acceptance O-48).
//!
//! ```text
//! <version>-<arch> … read, checked ─► <version>: what is there + these ─► <channel>: what <version> has now
//! ```
//!
//! Several jobs may do this at once, each after its own architecture: the index keeps what others put in. Invariant:
//! what is added was read back and says the version, channel and architecture that it stands for, and what stays is
//! in an index that says the same version and channel.

use bytes::Bytes;
use port_backend::{Backend as _, Document};
use port_layout::document::{self, Document as Parsed};
use port_layout::kubesolo::{self, Blob, IndexPart, Metadata};
use port_layout::media_types::{OCI_INDEX, OCI_MANIFEST};
use port_model::{Architecture, Digest};
use port_registry::{Condition, Manifest, Repository, TagOrDigest};
use serde::Serialize;

use super::{Publisher, RepositoryPlace, UpdateError, check, look, reference, tag};

/// How often the channel is moved after an index that others change.
const TRIES: u32 = 10;

/// Which index is to be composed.
#[derive(Debug)]
pub struct IndexRequest {
    /// Where.
    pub place: RepositoryPlace,
    /// Of which release.
    pub version: String,
    /// Which channel it is for.
    pub channel: String,
    /// For which machines; where none is named, for all that are published.
    pub architectures: Vec<Architecture>,
    /// Whether the index holds these alone and the channel moves there, whatever the tags point to now.
    pub overwrite: bool,
}

/// The index as it is now.
#[derive(Debug, Serialize)]
pub struct IndexReport {
    /// `HOST/PATH`.
    pub repository: String,
    /// The release, which is the index's tag.
    pub version: String,
    /// The channel, which is its other tag.
    pub channel: String,
    /// The index.
    pub index: Digest,
    /// What the channel pointed to before, if anything.
    pub channel_before: Option<Digest>,
    /// Its entries.
    pub manifests: Vec<IndexedPart>,
}

/// One entry of the index.
#[derive(Debug, Serialize)]
pub struct IndexedPart {
    /// Go's name.
    pub architecture: &'static str,
    /// The manifest.
    pub manifest: Digest,
}

/// Composes the index and moves the channel to it.
///
/// # Errors
/// [`UpdateError`]; the channel is as it was then.
pub async fn index(publisher: &Publisher, request: IndexRequest) -> Result<IndexReport, UpdateError> {
    check::version_and_channel(&request.version, &request.channel)?;
    let repository = publisher.repository(&request.place)?;
    let parts = parts(&repository, &request).await?;
    // Documents that cannot be written are refused here, where the reason is still a type.
    let fresh = kubesolo::encode_index(&parts)?;
    let channel_before = look(&repository, &tag(&request.channel)?).await?;
    refuse_going_back(&request, channel_before.as_ref())?;
    if let Some(there) = look(&repository, &tag(&request.version)?).await?.filter(|_| !request.overwrite) {
        merged(&parts, &request, &there.bytes, &there.media_type)?;
    }
    let merge = |existing: Option<&Document>| {
        let bytes = match existing.filter(|_| !request.overwrite) {
            Some(existing) => merged(&parts, &request, &existing.bytes, &existing.media_type)
                .map_err(|error| error.to_string())?,
            None => fresh.clone(),
        };
        let same = existing.is_some_and(|existing| existing.bytes == bytes);
        Ok((!same).then(|| Document { media_type: OCI_INDEX.to_owned(), bytes }))
    };
    let backend = publisher.backend(&request.place);
    backend.update_index(&reference(&request.place, &request.version)?, &merge).await?;
    let index = follow(&repository, &request).await?;
    Ok(IndexReport {
        repository: request.place.to_string(),
        manifests: entries(&index, &request.version)?,
        index: index.digest,
        channel_before: channel_before.map(|before| before.digest),
        version: request.version,
        channel: request.channel,
    })
}

/// The published manifests, read back and checked.
async fn parts(repository: &Repository, request: &IndexRequest) -> Result<Vec<IndexPart>, UpdateError> {
    let named = !request.architectures.is_empty();
    let wanted = if named { request.architectures.as_slice() } else { Architecture::ALL };
    let mut parts: Vec<IndexPart> = Vec::new();
    for architecture in wanted.iter().copied() {
        if parts.iter().any(|part| part.architecture == architecture) {
            continue;
        }
        let text = kubesolo::single_tag(&request.version, architecture);
        let name = tag(&text)?;
        // One that was asked for by name must be there; the registry's own words say that it is not.
        let found =
            if named { Some(repository.manifest(&name).await?) } else { look(repository, &name).await? };
        if let Some(found) = found {
            parts.push(part(&found, &text, architecture, request)?);
        }
    }
    if parts.is_empty() {
        let tags = wanted.iter().map(|architecture| kubesolo::single_tag(&request.version, *architecture));
        return Err(UpdateError::NothingPublished { tags: tags.collect() });
    }
    Ok(parts)
}

fn part(
    manifest: &Manifest,
    tag: &str,
    architecture: Architecture,
    request: &IndexRequest,
) -> Result<IndexPart, UpdateError> {
    let release = kubesolo::decode(&manifest.bytes, Some(&manifest.media_type), tag, architecture)?;
    let said = &release.metadata;
    for (field, expected, found) in [
        // Entries are written with this type.
        ("media type", OCI_MANIFEST, manifest.media_type.as_str()),
        ("version", &request.version, &said.version),
        ("channel", &request.channel, &said.channel),
        ("architecture", architecture.oci_name(), &said.architecture),
    ] {
        same(tag, field, expected, found)?;
    }
    let blob = Blob { digest: manifest.digest.clone(), size: manifest.bytes.len() as u64 };
    Ok(IndexPart { architecture, manifest: blob, metadata: release.metadata })
}

fn same(tag: &str, field: &'static str, expected: &str, found: &str) -> Result<(), UpdateError> {
    if expected == found {
        return Ok(());
    }
    let (tag, expected, found) = (tag.to_owned(), expected.to_owned(), found.to_owned());
    Err(UpdateError::Differs { tag, field, expected, found })
}

/// The index that is there with `parts` added: nothing that is in it is changed or lost.
fn merged(
    parts: &[IndexPart],
    request: &IndexRequest,
    bytes: &[u8],
    media_type: &str,
) -> Result<Vec<u8>, UpdateError> {
    let version = request.version.as_str();
    let (mut all, tag) = (parts.to_vec(), || version.to_owned());
    let read = document::read(bytes, Some(media_type));
    let Parsed::Index(existing) =
        read.map_err(|source| kubesolo::KubesoloError::Document { tag: tag(), source })?
    else {
        same(version, "document", "an index", "a manifest")?;
        return Ok(Vec::new());
    };
    let said = Metadata::from_annotations(&existing.annotations);
    same(version, "version", version, &said.version)?;
    same(version, "channel", &request.channel, &said.channel)?;
    let mut known = 0;
    for architecture in Architecture::ALL.iter().copied() {
        let Ok(entry) = kubesolo::select(&existing, version, architecture) else { continue };
        known += 1;
        match parts.iter().find(|part| part.architecture == architecture) {
            Some(part) if part.manifest.digest != entry.digest => {
                let expected = part.manifest.digest.clone();
                return Err(UpdateError::Taken { tag: tag(), expected, found: entry.digest.clone() });
            }
            Some(_) => {}
            None => {
                let manifest = Blob { digest: entry.digest.clone(), size: entry.size };
                all.push(IndexPart { architecture, manifest, metadata: said.clone() });
            }
        }
    }
    let others = existing.manifests.len() - known;
    same(version, "number of entries for other architectures", "0", &others.to_string())?;
    Ok(kubesolo::encode_index(&all)?)
}

/// A publishing job of an old release that runs once more must not lead machines back.
fn refuse_going_back(request: &IndexRequest, channel: Option<&Manifest>) -> Result<(), UpdateError> {
    let Some(there) = channel.filter(|_| !request.overwrite) else { return Ok(()) };
    let read = document::read(&there.bytes, Some(&there.media_type));
    let annotations = match read {
        Ok(Parsed::Index(index)) => index.annotations,
        Ok(Parsed::Manifest(manifest)) => manifest.annotations,
        Err(source) => {
            let tag = request.channel.clone();
            return Err(kubesolo::KubesoloError::Document { tag, source }.into());
        }
    };
    let found = Metadata::from_annotations(&annotations).version;
    if !check::is_older(&request.version, &found) {
        return Ok(());
    }
    let (channel, expected) = (request.channel.clone(), request.version.clone());
    Err(UpdateError::ChannelBack { channel, expected, found })
}

/// Moves the channel to what the version's tag has, until both are the same.
async fn follow(repository: &Repository, request: &IndexRequest) -> Result<Manifest, UpdateError> {
    let (version, channel) = (tag(&request.version)?, tag(&request.channel)?);
    for _ in 0..TRIES {
        let index = repository.manifest(&version).await?;
        put(repository, &channel, &index).await?;
        // Another job may have added its architecture in between, and moved the channel before us.
        if repository.resolve(&version).await?.digest == index.digest {
            return Ok(index);
        }
    }
    Err(UpdateError::Restless { tag: request.channel.clone(), times: TRIES })
}

async fn put(repository: &Repository, name: &TagOrDigest, index: &Manifest) -> Result<(), UpdateError> {
    let bytes: &Bytes = &index.bytes;
    repository.put_manifest(name, &index.media_type, bytes, Condition::None).await?;
    Ok(())
}

fn entries(index: &Manifest, version: &str) -> Result<Vec<IndexedPart>, UpdateError> {
    let read = document::read(&index.bytes, Some(&index.media_type));
    let read =
        read.map_err(|source| kubesolo::KubesoloError::Document { tag: version.to_owned(), source })?;
    let Parsed::Index(read) = read else { return Ok(Vec::new()) };
    let entry = |architecture: &Architecture| {
        let entry = kubesolo::select(&read, version, *architecture).ok()?;
        Some(IndexedPart { architecture: architecture.oci_name(), manifest: entry.digest.clone() })
    };
    Ok(Architecture::ALL.iter().filter_map(entry).collect())
}
