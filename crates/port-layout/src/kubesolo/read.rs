//! From a tag's document to the release for one architecture.
//!
//! NOTE: an index entry names its manifest by digest and size; whoever fetches it checks both before the bytes
//! come here. An index inside an index is refused, so no document can lead in circles.

use port_model::Architecture;

use super::{KubesoloError, Metadata, Release};
use crate::annotations::{KUBESOLO_ARCHITECTURE, RELEASE_BOOT_ARGUMENTS};
use crate::document::{self, Document, DocumentError, DocumentKind};
use crate::media_types::{KUBESOLO_INITRAMFS, KUBESOLO_KERNEL, RELEASE_ROOT, RELEASE_ROOT_INDEX};
use crate::oci::{Descriptor, Index, Manifest};

/// What a tag leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// The tag is a single manifest, and this is its release.
    Release(Box<Release>),
    /// The tag is an index; the release is in this manifest, to be fetched by digest and read with [`decode`].
    Entry(Box<Descriptor>),
}

/// Reads the document that a tag points at; `declared` is the media type under which it was handed over.
///
/// # Errors
/// [`KubesoloError`], which names the tag.
pub fn resolve(
    bytes: &[u8],
    declared: Option<&str>,
    tag: &str,
    architecture: Architecture,
) -> Result<Resolved, KubesoloError> {
    match read(bytes, declared, tag)? {
        Document::Manifest(manifest) => {
            release(*manifest, tag, architecture).map(|release| Resolved::Release(Box::new(release)))
        }
        Document::Index(index) => {
            select(&index, tag, architecture).map(|entry| Resolved::Entry(Box::new(entry.clone())))
        }
    }
}

/// Reads the manifest that an index entry led to; the caller has checked its size and digest.
///
/// # Errors
/// [`KubesoloError`], which names the tag.
pub fn decode(
    bytes: &[u8],
    declared: Option<&str>,
    tag: &str,
    architecture: Architecture,
) -> Result<Release, KubesoloError> {
    match read(bytes, declared, tag)? {
        Document::Manifest(manifest) => release(*manifest, tag, architecture),
        Document::Index(index) => Err(KubesoloError::MediaType {
            tag: tag.to_owned(),
            expected: "manifest behind an index entry",
            found: index.media_type,
        }),
    }
}

fn read(bytes: &[u8], declared: Option<&str>, tag: &str) -> Result<Document, KubesoloError> {
    let tag = tag.to_owned();
    document::read(bytes, declared).map_err(|error| match error {
        DocumentError::MediaType { found } => {
            KubesoloError::MediaType { tag, expected: "manifest or index", found }
        }
        source => KubesoloError::Document { tag, source },
    })
}

/// The entry for this architecture: the first whose platform says so; where several do, the first of them for
/// Linux or for no system in particular (C-36). Only where no platform fits, entries without one may say their
/// architecture in an annotation (C-34).
///
/// # Errors
/// [`KubesoloError::NoSuchArchitecture`]; also where the entry's annotation contradicts its platform.
pub fn select<'a>(
    index: &'a Index,
    tag: &str,
    architecture: Architecture,
) -> Result<&'a Descriptor, KubesoloError> {
    let wanted = architecture.oci_name();
    let is_manifest = |e: &&Descriptor| document::kind_of(&e.media_type) == Some(DocumentKind::Manifest);
    let entries: Vec<&Descriptor> = index.manifests.iter().filter(is_manifest).collect();
    let by_platform: Vec<&Descriptor> = entries
        .iter()
        .copied()
        .filter(|entry| entry.platform.as_ref().is_some_and(|p| p.architecture == wanted))
        .collect();
    let for_linux = |e: &&Descriptor| e.platform.as_ref().is_some_and(|p| p.os.is_empty() || p.os == "linux");
    let chosen = match by_platform.as_slice() {
        [only] => Some(*only),
        several => several.iter().copied().find(for_linux),
    };
    let unnamed = |e: &&Descriptor| e.platform.as_ref().is_none_or(|p| p.architecture.is_empty());
    let says_wanted = |e: &&Descriptor| annotation(e).is_some_and(|said| said == wanted);
    let by_annotation = || entries.iter().copied().find(|e| unnamed(e) && says_wanted(e));
    let entry = chosen.or_else(by_annotation).ok_or_else(|| KubesoloError::NoSuchArchitecture {
        tag: tag.to_owned(),
        wanted,
        available: index.manifests.iter().map(describe).collect(),
    })?;
    check_architecture(annotation(entry).unwrap_or_default(), tag, architecture)?;
    Ok(entry)
}

fn annotation(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(KUBESOLO_ARCHITECTURE).map(String::as_str)
}

fn describe(entry: &Descriptor) -> String {
    match (&entry.platform, annotation(entry)) {
        (Some(platform), _) if !platform.architecture.is_empty() => {
            format!("{}/{}", platform.os, platform.architecture)
        }
        (_, Some(said)) => said.to_owned(),
        _ => "unnamed".to_owned(),
    }
}

/// A document that says nothing fits (acceptance O-28); one that says something else never does.
fn check_architecture(found: &str, tag: &str, expected: Architecture) -> Result<(), KubesoloError> {
    if found.is_empty() || found == expected.oci_name() {
        return Ok(());
    }
    Err(KubesoloError::ArchitectureDiffers {
        tag: tag.to_owned(),
        expected: expected.oci_name(),
        found: found.to_owned(),
    })
}

fn release(manifest: Manifest, tag: &str, architecture: Architecture) -> Result<Release, KubesoloError> {
    let metadata = Metadata::from_annotations(&manifest.annotations);
    check_architecture(&metadata.architecture, tag, architecture)?;
    let mut ignored = manifest.layers;
    let kernel = take(&mut ignored, tag, KUBESOLO_KERNEL)?;
    let initramfs = take(&mut ignored, tag, KUBESOLO_INITRAMFS)?;
    let mut maybe = |media_type| match ignored.iter().any(|layer| layer.media_type == media_type) {
        true => take(&mut ignored, tag, media_type).map(Some),
        false => Ok(None),
    };
    let (root_filesystem, root_index) = (maybe(RELEASE_ROOT)?, maybe(RELEASE_ROOT_INDEX)?);
    let boot_arguments = manifest.annotations.get(RELEASE_BOOT_ARGUMENTS).cloned().unwrap_or_default();
    Ok(Release {
        metadata,
        architecture,
        kernel,
        initramfs,
        root_filesystem,
        root_index,
        boot_arguments,
        ignored,
    })
}

fn take(
    layers: &mut Vec<Descriptor>,
    tag: &str,
    media_type: &'static str,
) -> Result<Descriptor, KubesoloError> {
    let tag = || tag.to_owned();
    let found = layers.iter().filter(|layer| layer.media_type == media_type).count();
    if found > 1 {
        return Err(KubesoloError::DuplicateLayers { tag: tag(), media_type, found });
    }
    let at = layers
        .iter()
        .position(|layer| layer.media_type == media_type)
        .ok_or_else(|| KubesoloError::NoLayer { tag: tag(), media_type })?;
    let layer = layers.remove(at);
    if layer.size == 0 {
        return Err(KubesoloError::EmptyLayer { tag: tag(), media_type });
    }
    Ok(layer)
}
