//! index: the published manifests of a release under one tag, and the channel moved to it (acceptance O-48).
//!
//! ```text
//! <version>-<arch> … read, checked ─► <version>: what is there + these ─► <channel>: what <version> has now
//! ```
//!
//! Several jobs may do this at once, each after its own architecture: the index keeps what others put in, as they wrote
//! it. Invariants: what is added was read back and says the version, channel and architecture that it stands for, and what
//! stays is in an index that says the same version and channel; whether the channel would go back is asked of what the
//! channel has at the moment of writing.

use bytes::Bytes;
use port_layout::document::{self, Document};
use port_layout::index::IndexDocument;
use port_layout::kubesolo::{self, Blob, IndexPart, KubesoloError, Metadata};
use port_layout::media_types::{OCI_INDEX, OCI_MANIFEST};
use port_layout::{Descriptor, Index};
use port_model::{Architecture, Digest};
use port_registry::{Manifest, MergeError, Repository};
use serde::Serialize;

use super::{Publisher, RepositoryPlace, UpdateError, check, look, tag};

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
/// [`UpdateError`]. This job has not moved the channel then, or others move it at the same time: where to, they say. The
/// version's tag may have the index already; a rerun goes on from there.
pub async fn index(publisher: &Publisher, request: IndexRequest) -> Result<IndexReport, UpdateError> {
    check::version_and_channel(&request.version, &request.channel)?;
    let repository = publisher.repository(&request.place)?;
    let parts = parts(&repository, &request).await?;
    // Documents that cannot be written are refused here, where the reason is still a type.
    let fresh = kubesolo::encode_index(&parts)?;
    let channel_before = look(&repository, &tag(&request.channel)?).await?;
    let going = (request.version.as_str(), request.channel.as_str());
    refuse_going_back(going, request.overwrite, channel_before.as_ref())?;
    let merge = |existing: Option<&Manifest>| merged(&parts, &request, &fresh, existing);
    change(&repository, &request.version, &merge).await?;
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

/// An index, as it is written: its media type and its bytes.
type Written = Option<(String, Bytes)>;

/// Changes what a tag has, whoever else does so at the same time.
pub(super) async fn change(
    repository: &Repository,
    text: &str,
    merge: port_registry::Merge<'_, UpdateError>,
) -> Result<(), UpdateError> {
    repository.merge_manifest(&tag(text)?, merge).await.map_err(|error| match error {
        MergeError::Registry(error) => error.into(),
        MergeError::Refused(refusal) => refusal,
    })
}

/// The index that is to be: `fresh`, or what is there with `parts` added; nothing that is in it is changed or lost.
fn merged(
    parts: &[IndexPart],
    request: &IndexRequest,
    fresh: &[u8],
    existing: Option<&Manifest>,
) -> Result<Written, UpdateError> {
    let Some(there) = existing.filter(|_| !request.overwrite) else {
        let same = existing.is_some_and(|there| there.bytes == fresh);
        return Ok((!same).then(|| (OCI_INDEX.to_owned(), Bytes::copy_from_slice(fresh))));
    };
    let version = request.version.as_str();
    let index = read_index(there, version)?;
    let said = Metadata::from_annotations(&index.annotations);
    same(version, "version", version, &said.version)?;
    same(version, "channel", &request.channel, &said.channel)?;
    let mut absent = Vec::new();
    for part in parts {
        match entry(&index, version, part.architecture)? {
            None => absent.push(part.clone()),
            Some(entry) if entry.digest == part.manifest.digest => {}
            Some(entry) => {
                let (expected, found) = (part.manifest.digest.clone(), entry.digest.clone());
                return Err(UpdateError::Taken { tag: version.to_owned(), expected, found });
            }
        }
    }
    if absent.is_empty() {
        return Ok(None);
    }
    // Docker's older form may only list Docker's manifests, and is not made into another behind its writer's back.
    let document = IndexDocument::read(&there.bytes, Some(&there.media_type))
        .map_err(|source| KubesoloError::Document { tag: version.to_owned(), source })?;
    same(version, "media type", OCI_INDEX, &document.media_type())?;
    let longer = kubesolo::extend_index(document, &absent);
    Ok(Some((longer.media_type(), Bytes::from(longer.to_bytes()))))
}

/// The entry for an architecture, if there is one.
fn entry<'a>(
    index: &'a Index,
    tag: &str,
    architecture: Architecture,
) -> Result<Option<&'a Descriptor>, UpdateError> {
    match kubesolo::select(index, tag, architecture) {
        Ok(entry) => Ok(Some(entry)),
        Err(KubesoloError::NoSuchArchitecture { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A publishing job of an old release that runs once more must not lead machines back.
pub(super) fn refuse_going_back(
    (version, channel): (&str, &str),
    overwrite: bool,
    there: Option<&Manifest>,
) -> Result<(), UpdateError> {
    let Some(there) = there.filter(|_| !overwrite) else { return Ok(()) };
    let annotations = match document::read(&there.bytes, Some(&there.media_type)) {
        Ok(Document::Index(index)) => index.annotations,
        Ok(Document::Manifest(manifest)) => manifest.annotations,
        Err(source) => {
            return Err(KubesoloError::Document { tag: channel.to_owned(), source }.into());
        }
    };
    let found = Metadata::from_annotations(&annotations).version;
    if !check::is_older(version, &found) {
        return Ok(());
    }
    let (channel, expected) = (channel.to_owned(), version.to_owned());
    Err(UpdateError::ChannelBack { channel, expected, found })
}

/// Moves the channel to what the version's tag has, until both are the same.
async fn follow(repository: &Repository, request: &IndexRequest) -> Result<Manifest, UpdateError> {
    let version = tag(&request.version)?;
    for _ in 0..TRIES {
        let index = repository.manifest(&version).await?;
        let entries = read_index(&index, &request.version)?;
        let merge = |channel: Option<&Manifest>| {
            refuse_going_back((&request.version, &request.channel), request.overwrite, channel)?;
            let there = channel.is_some_and(|there| {
                there.digest == index.digest || (!request.overwrite && is_longer(there, &entries, request))
            });
            Ok((!there).then(|| (index.media_type.clone(), index.bytes.clone())))
        };
        change(repository, &request.channel, &merge).await?;
        // Another job may have added its architecture in between, and moved the channel before us.
        if repository.resolve(&version).await?.digest == index.digest {
            return Ok(index);
        }
    }
    Err(UpdateError::Restless { tag: request.channel.clone(), times: TRIES })
}

/// Whether this is the index of the same release with all these entries: then another job added its own, and putting back
/// what this one has read would lead machines from there and back again.
fn is_longer(channel: &Manifest, index: &Index, request: &IndexRequest) -> bool {
    let Ok(there) = read_index(channel, &request.channel) else { return false };
    let has = |entry: &Descriptor| there.manifests.iter().any(|known| known.digest == entry.digest);
    Metadata::from_annotations(&there.annotations).version == request.version
        && index.manifests.iter().all(has)
}

fn read_index(manifest: &Manifest, tag: &str) -> Result<Index, UpdateError> {
    let read = document::read(&manifest.bytes, Some(&manifest.media_type));
    match read.map_err(|source| KubesoloError::Document { tag: tag.to_owned(), source })? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => {
            let (expected, found) = ("an index".to_owned(), "a manifest".to_owned());
            Err(UpdateError::Differs { tag: tag.to_owned(), field: "document", expected, found })
        }
    }
}

fn entries(index: &Manifest, version: &str) -> Result<Vec<IndexedPart>, UpdateError> {
    let read = read_index(index, version)?;
    let entry = |architecture: &Architecture| {
        let entry = kubesolo::select(&read, version, *architecture).ok()?;
        Some(IndexedPart { architecture: architecture.oci_name(), manifest: entry.digest.clone() })
    };
    Ok(Architecture::ALL.iter().filter_map(entry).collect())
}
