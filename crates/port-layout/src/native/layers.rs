//! Which layers stand for which component, written and read by one set of rules.
//!
//! The media types alone say it; the config has no word for it, so that the same bundle has the same config under
//! every encoding. What cannot be seen here is a pack that the map needs and the manifest lacks: who opens the
//! map says so. Invariant: [`write()`] gives only what [`read`] takes, and `read` gives back what was written.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::slice::Iter;

use port_model::digest::Algorithm;
use port_model::{Bundle, Component, ComponentKind};

use super::stored::{LARGEST_MAP, LARGEST_PACK, LayersError, MOST_LAYERS, Stored};
use crate::annotations::TITLE;
use crate::media_types::{self, PACKED_MAP, PACKED_PACK};
use crate::oci::{Blob, Descriptor};

/// The layers of a bundle whose components are stored like this.
///
/// # Errors
/// [`LayersError`] for whatever [`read`] would refuse.
pub(super) fn write(bundle: &Bundle, stored: &[Stored]) -> Result<Vec<Descriptor>, LayersError> {
    if bundle.components.len() != stored.len() {
        return Err(LayersError::Stored { components: bundle.components.len(), stored: stored.len() });
    }
    let pairs = bundle.components.iter().zip(stored);
    let layers: Vec<Descriptor> = pairs.flat_map(|(component, stored)| of(component, stored)).collect();
    read(bundle, &layers)?;
    Ok(layers)
}

/// The layer of a component whose blob is its file.
pub(super) fn raw_layer(component: &Component) -> Descriptor {
    let media_type = media_types::layer(component.kind, component.format);
    let mut descriptor = Descriptor::new(media_type, component.digest.clone(), component.size);
    descriptor.annotations.insert(TITLE.to_owned(), component.file_name.to_string());
    descriptor
}

fn of(component: &Component, stored: &Stored) -> Vec<Descriptor> {
    match stored {
        Stored::Raw => vec![raw_layer(component)],
        Stored::Zstd(blob) => vec![zstd_layer(component, blob)],
        // Without a title: what plain tools would write is no use to anybody.
        Stored::Packed { map, packs } => {
            let packs = packs.iter().map(|pack| pack.descriptor(PACKED_PACK));
            [map.descriptor(PACKED_MAP)].into_iter().chain(packs).collect()
        }
    }
}

fn zstd_layer(component: &Component, blob: &Blob) -> Descriptor {
    let mut descriptor = blob.descriptor(&media_types::zstd_layer(component.kind, component.format));
    descriptor.annotations.insert(TITLE.to_owned(), format!("{}.zst", component.file_name));
    descriptor
}

/// How each component of `bundle` is stored, in the order of the components.
///
/// # Errors
/// [`LayersError`] where the layers are not exactly those of the components.
pub(super) fn read(bundle: &Bundle, layers: &[Descriptor]) -> Result<Vec<Stored>, LayersError> {
    if bundle.main().is_none() {
        return Err(LayersError::NoMain { class: bundle.class });
    }
    let kinds: BTreeSet<ComponentKind> = bundle.components.iter().map(|c| c.kind).collect();
    let names: BTreeSet<&str> = bundle.components.iter().map(|c| c.file_name.as_str()).collect();
    if kinds.len() != bundle.components.len() || names.len() != bundle.components.len() {
        return Err(LayersError::Shared);
    }
    if layers.len() > MOST_LAYERS {
        return Err(LayersError::TooMany { found: layers.len() });
    }
    let mut rest = layers.iter().peekable();
    let stored = bundle.components.iter().map(|component| take(component, &mut rest));
    let stored = stored.collect::<Result<Vec<_>, _>>()?;
    let left = rest.len();
    if let Some(first) = rest.next() {
        return Err(LayersError::LeftOver { count: left, media_type: first.media_type.clone() });
    }
    let mut titles = BTreeSet::new();
    match layers.iter().filter_map(Descriptor::title).find(|title| !titles.insert(*title)) {
        Some(title) => Err(LayersError::SharedTitle { title: title.to_owned() }),
        None => Ok(stored),
    }
}

/// Takes the layers of one component off the front.
fn take(component: &Component, rest: &mut Peekable<Iter<'_, Descriptor>>) -> Result<Stored, LayersError> {
    let file_name = || component.file_name.clone();
    let Some(first) = rest.next() else { return Err(LayersError::Missing { file_name: file_name() }) };
    let raw = media_types::layer(component.kind, component.format);
    let zstd = media_types::zstd_layer(component.kind, component.format);
    let stored = match first.media_type.as_str() {
        found if found == raw => {
            same(component, raw_layer(component), first)?;
            Stored::Raw
        }
        found if found == zstd => {
            let blob = first.blob();
            same(component, zstd_layer(component, &blob), first)?;
            sized(component, "compressed file", &blob, largest_zstd(component.size))?;
            Stored::Zstd(blob)
        }
        PACKED_MAP => packed(component, first, rest)?,
        PACKED_PACK => return Err(LayersError::PackFirst { file_name: file_name() }),
        found => {
            let found = found.to_owned();
            return Err(LayersError::MediaType { file_name: file_name(), expected: raw, found });
        }
    };
    if component.kind.encodings().contains(&stored.encoding()) {
        return Ok(stored);
    }
    Err(LayersError::Encoding { file_name: file_name(), kind: component.kind, found: stored.encoding() })
}

fn packed(
    component: &Component,
    first: &Descriptor,
    rest: &mut Peekable<Iter<'_, Descriptor>>,
) -> Result<Stored, LayersError> {
    let map = part(component, "map", PACKED_MAP, LARGEST_MAP, first)?;
    let mut seen = BTreeSet::from([map.digest.clone()]);
    let mut packs = Vec::new();
    while let Some(layer) = rest.next_if(|layer| layer.media_type == PACKED_PACK) {
        let pack = part(component, "pack", PACKED_PACK, LARGEST_PACK, layer)?;
        if !seen.insert(pack.digest.clone()) {
            let file_name = component.file_name.clone();
            return Err(LayersError::Twice { digest: pack.digest, file_name });
        }
        packs.push(pack);
    }
    Ok(Stored::Packed { map, packs })
}

fn part(
    component: &Component,
    what: &'static str,
    media_type: &str,
    most: u64,
    layer: &Descriptor,
) -> Result<Blob, LayersError> {
    let blob = layer.blob();
    same(component, blob.descriptor(media_type), layer)?;
    sized(component, what, &blob, most)?;
    if blob.digest.algorithm() != Algorithm::Sha256 {
        let file_name = component.file_name.clone();
        return Err(LayersError::Algorithm { what, digest: blob.digest, file_name });
    }
    Ok(blob)
}

/// The layer is what is written for this component and nothing more.
fn same(component: &Component, expected: Descriptor, found: &Descriptor) -> Result<(), LayersError> {
    if expected == *found {
        return Ok(());
    }
    let (expected, found) = (Box::new(expected), Box::new(found.clone()));
    Err(LayersError::Differs { file_name: component.file_name.clone(), expected, found })
}

fn sized(component: &Component, what: &'static str, blob: &Blob, most: u64) -> Result<(), LayersError> {
    if (1..=most).contains(&blob.size) {
        return Ok(());
    }
    let (digest, file_name, found) = (blob.digest.clone(), component.file_name.clone(), blob.size);
    Err(LayersError::Size { what, digest, file_name, most, found })
}

/// More than `zstd` makes of bytes that do not compress (a 256th), with room for many small frames.
fn largest_zstd(raw: u64) -> u64 {
    raw.saturating_add(raw / 128).saturating_add(64 * 1024)
}

#[cfg(test)]
mod tests;
