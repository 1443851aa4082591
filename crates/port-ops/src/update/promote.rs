//! promote: what one channel has, in another, without building anything (acceptance O-48, C-35).
//!
//! ```text
//! <from> ─► its manifests, each for the other channel ─► an index of them ─► signed, where a key is there ─► <to>
//! ```
//!
//! A manifest says its channel, and agents compare it; so each is written anew with that word changed, over the same blobs, which are
//! not moved. Invariants: `<to>` moves last, and not back; the version's own tags stay; what is signed was signed before, for `<from>`,
//! by whom the caller trusts: a tag says nothing of who moved it there.

use std::path::PathBuf;

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_layout::annotations::KUBESOLO_CHANNEL;
use port_layout::document::{self, Document};
use port_layout::kubesolo::{self, Blob, IndexPart, Metadata};
use port_layout::media_types::{OCI_INDEX, OCI_MANIFEST};
use port_layout::oci;
use port_model::{Architecture, Digest};
use port_registry::{Condition, Manifest, Repository, TagOrDigest};
use port_trust::SecretKey;
use port_update::Class;
use serde::Serialize;

use super::agent::AgentError;
use super::agent::offer::{boot_set, same_parts};
use super::agent::origin::signed_name;
use super::agent::statement::signed_by;
use super::fetch::{Pinned, Wanted, entry_bytes, named, resolve};
use super::index::{change, refuse_going_back};
use super::sign::sign_at;
use super::{
    Publisher, RepositoryPlace, SignReleaseReport, SignReleaseRequest, UpdateError, check, look, tag,
};
use crate::copy::Side;
use crate::trust::read_public_key;

/// What is to be promoted.
#[derive(Debug)]
pub struct PromoteRequest {
    /// Where.
    pub place: RepositoryPlace,
    /// From which channel.
    pub from: String,
    /// To which one.
    pub to: String,
    /// Whether the channel moves even to an older release.
    pub overwrite: bool,
    /// Who must have signed what `from` has, for it to be signed for `to`.
    pub source: SourceSigner,
}

/// Who must have signed what is promoted and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSigner {
    /// The key that signs for the other channel.
    Same,
    /// This one, in a file.
    Key(PathBuf),
    /// Nobody, as somebody said in as many words: whoever can move the tag has anything signed.
    Nobody,
}

/// What was promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromoteReport {
    /// `HOST/PATH`.
    pub repository: String,
    /// From which channel.
    pub from: String,
    /// To which one.
    pub to: String,
    /// The release.
    pub version: String,
    /// The index that `from` has.
    pub source: Digest,
    /// The index that `to` has now.
    pub index: Digest,
    /// What `to` had before, where that was something else.
    pub replaced: Option<Digest>,
    /// What was signed, where a key was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignReleaseReport>,
}

/// Promotes; `signing` says what is signed of it and with which key.
///
/// # Errors
/// [`AgentError`]; then `to` is as it was.
pub async fn promote(
    publisher: &Publisher,
    request: PromoteRequest,
    signing: Option<(SignReleaseRequest, &SecretKey)>,
) -> Result<PromoteReport, AgentError> {
    if request.from == request.to {
        let expected = "another channel than the one that it comes from";
        return Err(UpdateError::Field { field: "channel", expected, found: request.to }.into());
    }
    let repository = publisher.repository(&request.place)?;
    let side = Side::Registry(repository.clone());
    let (source, found) = resolved(&side, &request).await?;
    if let Some((signing, key)) = &signing {
        believed(&side, &request, (&source, &found), (signing.issued, key)).await?;
    }
    let parts = parts(&side, &repository, &request, &found).await?;
    let version = parts.first().map(|part| part.metadata.version.clone()).unwrap_or_default();
    check::version_and_channel(&version, &request.to)?;
    let bytes = Bytes::from(kubesolo::encode_index(&parts).map_err(UpdateError::from)?);
    let index = digest_of(&bytes);
    let before = look(&repository, &tag(&request.to)?).await?;
    refuse_going_back((&version, &request.to), request.overwrite, before.as_ref())?;
    let by_digest = TagOrDigest::Digest(index.clone());
    repository.put_manifest(&by_digest, OCI_INDEX, &bytes, Condition::None).await?;
    let signed = match signing {
        Some((signing, key)) => {
            let signing = SignReleaseRequest { tag: index.to_string(), ..signing };
            Some(sign_at(&side, signing, key).await?)
        }
        None => None,
    };
    let replaced = before.as_ref().map(|before| before.digest.clone()).filter(|found| *found != index);
    let merge = |there: Option<&Manifest>| {
        refuse_going_back((&version, &request.to), request.overwrite, there)?;
        let same = there.is_some_and(|there| there.digest == index);
        Ok((!same).then(|| (OCI_INDEX.to_owned(), bytes.clone())))
    };
    change(&repository, &request.to, &merge).await?;
    let (from, to) = (request.from, request.to);
    Ok(PromoteReport {
        repository: request.place.to_string(),
        from,
        to,
        version,
        source,
        index,
        replaced,
        signed,
    })
}

/// What `from` leads to, and its manifests.
async fn resolved(
    side: &Side,
    request: &PromoteRequest,
) -> Result<(Digest, Vec<(Architecture, Pinned)>), UpdateError> {
    let mut source = None;
    let mut found = Vec::new();
    for architecture in Architecture::ALL.iter().copied() {
        let wanted = Wanted { place: request.place.to_string(), tag: &request.from, architecture };
        let pinned = match resolve(side, &wanted).await {
            Ok(pinned) => pinned,
            Err(error) if error.is_for_others() => continue,
            Err(error) => return Err(error),
        };
        let restless = || UpdateError::Restless { tag: request.from.clone(), times: 1 };
        if source.get_or_insert_with(|| pinned.root.digest.clone()) != &pinned.root.digest {
            return Err(restless());
        }
        found.push((architecture, pinned));
    }
    let source = source.ok_or_else(|| UpdateError::NothingPublished { tags: vec![request.from.clone()] })?;
    Ok((source, found))
}

/// As a machine that follows `from` would: its statement, whose, for which channel, until when, and about which parts.
async fn believed(
    side: &Side,
    request: &PromoteRequest,
    (source, found): (&Digest, &[(Architecture, Pinned)]),
    (now, key): (u64, &SecretKey),
) -> Result<(), AgentError> {
    let (file, key) = match &request.source {
        SourceSigner::Nobody => return Ok(()),
        SourceSigner::Same => ("the signing key".to_owned(), key.public()),
        SourceSigner::Key(path) => (path.display().to_string(), read_public_key(path)?),
    };
    let release = signed_by((&file, key), side, source, Some(&signed_name(&request.place))).await?;
    let refused = |class, reason| Err(AgentError::Refused { class, reason });
    if release.channel != request.from {
        let reason = format!(
            "it was signed for another channel: expected `{}`, found `{}`",
            request.from, release.channel
        );
        return refused(Class::WrongTarget, reason);
    }
    if i64::try_from(now).map_or(true, |now| now >= release.expires.as_second()) {
        let reason = format!("it is to be believed until {}, and that is over", release.expires);
        return refused(Class::Expired, reason);
    }
    for (architecture, pinned) in found {
        let published = boot_set(*architecture, &pinned.release);
        let mut sets = release.machines.iter().filter(|set| set.architecture == *architecture).peekable();
        if sets.peek().is_none() {
            let reason = format!("what was signed says nothing of {}", architecture.oci_name());
            return refused(Class::MixAndMatch, reason);
        }
        sets.try_for_each(|set| same_parts(set, &published))?;
    }
    Ok(())
}

/// The manifests, each written for the other channel and put there by its digest.
async fn parts(
    side: &Side,
    repository: &Repository,
    request: &PromoteRequest,
    found: &[(Architecture, Pinned)],
) -> Result<Vec<IndexPart>, UpdateError> {
    let mut parts = Vec::new();
    for (architecture, pinned) in found {
        let (bytes, metadata) = rewritten(side, &pinned.manifest, request).await?;
        let blob = Blob { digest: digest_of(&bytes), size: bytes.len() as u64 };
        let name = TagOrDigest::Digest(blob.digest.clone());
        repository.put_manifest(&name, OCI_MANIFEST, &bytes, Condition::None).await?;
        parts.push(IndexPart { architecture: *architecture, manifest: blob, metadata });
    }
    Ok(parts)
}

async fn rewritten(
    side: &Side,
    manifest: &Digest,
    request: &PromoteRequest,
) -> Result<(Bytes, Metadata), UpdateError> {
    let gone = || UpdateError::Gone { tag: request.from.clone(), digest: manifest.clone() };
    let (root, _) = named(side, &manifest.to_string()).await?.ok_or_else(gone)?;
    let (media_type, bytes) = entry_bytes(side, &root, &request.from).await?;
    let read = document::read(&bytes, Some(&media_type));
    let read =
        read.map_err(|source| kubesolo::KubesoloError::Document { tag: request.from.clone(), source })?;
    let Document::Manifest(mut manifest) = read else {
        let (expected, found) = ("a manifest".to_owned(), "an index".to_owned());
        return Err(UpdateError::Differs { tag: request.from.clone(), field: "document", expected, found });
    };
    manifest.annotations.insert(KUBESOLO_CHANNEL.to_owned(), request.to.clone());
    manifest.media_type = OCI_MANIFEST.to_owned();
    let metadata = Metadata::from_annotations(&manifest.annotations);
    Ok((Bytes::from(oci::to_bytes(&*manifest)), metadata))
}
