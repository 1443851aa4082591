//! The referrer that carries a delta: from one earlier raw image to the one that the new manifest holds.
//!
//! A client that lists the referrers of a manifest sees their annotations, so it knows which delta starts at an
//! image that it has, and what the bytes cost, before it fetches anything. None of that is proof: the blob is checked
//! by its digest and what it makes by the target's. The blob's own format is not known here.

use port_model::{Component, Digest, FileName};

use crate::annotations::{DELTA_FILE_NAME, DELTA_PARENT, DELTA_SIZE, DELTA_TARGET};
use crate::document::{self, Document, DocumentError};
use crate::media_types::{OCI_MANIFEST, PACKED_DELTA};
use crate::oci::{self, Annotations, Blob, Descriptor, Manifest};
use crate::port_v1;

/// The largest delta, in bytes. As many as the delta format itself allows.
pub const LARGEST_DELTA: u64 = 4 * 1024 * 1024 * 1024;

/// What a delta does, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The manifest of the new version.
    pub subject: Blob,
    /// The raw file that it starts from.
    pub parent: Digest,
    /// The raw file that it makes.
    pub target: Digest,
    /// Which component of the new version that is.
    pub file_name: FileName,
    /// The delta itself.
    pub blob: Blob,
}

/// What an entry in a list of referrers says of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The delta's manifest; [`decode`] reads it.
    pub manifest: Blob,
    /// The raw file that it starts from.
    pub parent: Digest,
    /// The raw file that it makes.
    pub target: Digest,
    /// Which component that is.
    pub file_name: FileName,
    /// How many bytes the delta has.
    pub size: u64,
}

/// A document or an entry that is not that of a delta.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// No manifest.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// An index where a manifest should be.
    #[error("the document is an index: expected the manifest of a delta")]
    Index,
    /// A field that a delta's manifest has otherwise.
    #[error("the delta's {field} is `{found}`: expected {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it should be.
        expected: String,
        /// What it is; empty where it is missing.
        found: String,
    },
    /// A delta from an image to itself.
    #[error("the delta starts from {digest} and makes the same: expected another parent")]
    Circle {
        /// Of both.
        digest: Digest,
    },
    /// An empty or unbounded blob.
    #[error("the delta {digest} has {found} bytes: expected 1 to {LARGEST_DELTA}")]
    Size {
        /// Its digest.
        digest: Digest,
        /// What it has.
        found: u64,
    },
}

fn field(field: &'static str, expected: impl Into<String>, found: impl Into<String>) -> DeltaError {
    DeltaError::Field { field, expected: expected.into(), found: found.into() }
}

/// Writes the manifest down. Its config is [`port_v1::EMPTY_CONFIG`], which must be there like any blob.
///
/// # Errors
/// [`DeltaError`] where [`decode`] would refuse it.
pub fn encode(delta: &Delta) -> Result<Vec<u8>, DeltaError> {
    check(delta)?;
    Ok(oci::to_bytes(&Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        artifact_type: Some(PACKED_DELTA.to_owned()),
        config: port_v1::empty_config(),
        layers: vec![delta.blob.descriptor(PACKED_DELTA)],
        subject: Some(delta.subject.descriptor(OCI_MANIFEST)),
        annotations: annotations(delta),
    }))
}

/// The entry of the delta's manifest in a list of referrers, for registries where the client keeps the list.
pub fn index_entry(delta: &Delta, manifest: &Blob) -> Descriptor {
    Descriptor {
        artifact_type: Some(PACKED_DELTA.to_owned()),
        annotations: annotations(delta),
        ..manifest.descriptor(OCI_MANIFEST)
    }
}

fn annotations(delta: &Delta) -> Annotations {
    Annotations::from([
        (DELTA_FILE_NAME.to_owned(), delta.file_name.to_string()),
        (DELTA_PARENT.to_owned(), delta.parent.to_string()),
        (DELTA_SIZE.to_owned(), delta.blob.size.to_string()),
        (DELTA_TARGET.to_owned(), delta.target.to_string()),
    ])
}

/// Reads a delta's manifest. The caller has checked the manifest's digest, and compares `subject` and `target` with
/// what it wants.
///
/// # Errors
/// [`DeltaError`] where the document is not exactly that of one delta.
pub fn decode(manifest: &[u8]) -> Result<Delta, DeltaError> {
    let Document::Manifest(manifest) = document::read(manifest, None)? else { return Err(DeltaError::Index) };
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or_default();
    if artifact_type != PACKED_DELTA {
        return Err(field("artifactType", format!("`{PACKED_DELTA}`"), artifact_type));
    }
    let empty = port_v1::empty_config();
    if manifest.config.media_type != empty.media_type || manifest.config.blob() != empty.blob() {
        return Err(field("config", "the empty config", manifest.config.media_type));
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(field("number of layers", "1", manifest.layers.len().to_string()));
    };
    if layer.media_type != PACKED_DELTA {
        return Err(field("layer's media type", format!("`{PACKED_DELTA}`"), layer.media_type.as_str()));
    }
    let subject = manifest.subject.ok_or_else(|| field("subject", "the manifest of a new version", ""))?;
    if subject.media_type != OCI_MANIFEST {
        return Err(field("subject's media type", format!("`{OCI_MANIFEST}`"), subject.media_type));
    }
    let Said { parent, target, file_name, size } = said(&manifest.annotations)?;
    let blob = layer.blob();
    if size != blob.size {
        return Err(field(DELTA_SIZE, format!("the layer's `{}`", blob.size), size.to_string()));
    }
    let delta = Delta { subject: subject.blob(), parent, target, file_name, blob };
    check(&delta)?;
    Ok(delta)
}

/// What an entry in a list of referrers offers; none where it is no delta's.
///
/// # Errors
/// [`DeltaError`] where it is a delta's and does not say all, as in the lists of tools that drop annotations: the
/// manifest behind it says it too.
pub fn offer(entry: &Descriptor) -> Result<Option<Offer>, DeltaError> {
    if entry.artifact_type.as_deref() != Some(PACKED_DELTA) || entry.media_type != OCI_MANIFEST {
        return Ok(None);
    }
    let Said { parent, target, file_name, size } = said(&entry.annotations)?;
    let manifest = entry.blob();
    if !(1..=LARGEST_DELTA).contains(&size) {
        return Err(DeltaError::Size { digest: manifest.digest, found: size });
    }
    if parent == target {
        return Err(DeltaError::Circle { digest: parent });
    }
    Ok(Some(Offer { manifest, parent, target, file_name, size }))
}

/// The deltas in a list of referrers that make `component`, the smallest first; what cannot be read is no offer.
pub fn offers(entries: &[Descriptor], component: &Component) -> Vec<Offer> {
    let read = entries.iter().filter_map(|entry| offer(entry).ok().flatten());
    let fits = |offer: &Offer| offer.target == component.digest && offer.file_name == component.file_name;
    let mut offers: Vec<Offer> = read.filter(fits).collect();
    // Two of one size: whatever order the registry has, the same one is taken.
    offers.sort_by(|a, b| {
        (a.size, &a.parent, &a.manifest.digest).cmp(&(b.size, &b.parent, &b.manifest.digest))
    });
    offers
}

struct Said {
    parent: Digest,
    target: Digest,
    file_name: FileName,
    size: u64,
}

fn said(annotations: &Annotations) -> Result<Said, DeltaError> {
    let text = |key: &str| annotations.get(key).map_or("", String::as_str);
    let digest = |key| text(key).parse::<Digest>().map_err(|_| field(key, "a digest", text(key)));
    Ok(Said {
        parent: digest(DELTA_PARENT)?,
        target: digest(DELTA_TARGET)?,
        file_name: text(DELTA_FILE_NAME)
            .parse()
            .map_err(|_| field(DELTA_FILE_NAME, "a plain file name", text(DELTA_FILE_NAME)))?,
        // Only the spelling that is written: `+1` and `01` are other texts for the same number.
        size: text(DELTA_SIZE)
            .parse()
            .ok()
            .filter(|size: &u64| size.to_string() == text(DELTA_SIZE))
            .ok_or_else(|| field(DELTA_SIZE, "a number of bytes", text(DELTA_SIZE)))?,
    })
}

fn check(delta: &Delta) -> Result<(), DeltaError> {
    if delta.parent == delta.target {
        return Err(DeltaError::Circle { digest: delta.parent.clone() });
    }
    if !(1..=LARGEST_DELTA).contains(&delta.blob.size) {
        return Err(DeltaError::Size { digest: delta.blob.digest.clone(), found: delta.blob.size });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
