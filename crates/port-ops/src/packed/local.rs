//! Images that lie here and may give blocks to another: what the store or the local path holds of any version.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use port_content::fs;
use port_layout::index::name_of;
use port_layout::native::{self, Stored};
use port_layout::{Blob, Descriptor};
use port_model::{Component, Digest};
use port_packed::{LocalImage, Map};

use super::map_of;
use super::parent::stored_versions;
use crate::error::OpsError;
use crate::source::Source;
use crate::workspace::Workspace;

/// One image that lies here.
#[derive(Debug)]
pub(crate) struct Known {
    /// The name under which the store has it.
    pub(crate) name: String,
    pub(crate) component: Component,
    pub(crate) image: LocalImage,
}

/// So many versions of the same repository and variant come before what other names have.
const NEAREST: usize = 4;
/// Images that are used at once: each has an open file, its map and its runs in memory.
const MOST: usize = 8;

/// The images that share a pack with `wanted`, as far as their files are here and unchanged: the likeliest, at most
/// [`MOST`]. What the manifests list decides, so that no other map is read.
///
/// `local` is a path that may hold one of them although the store does not.
pub(crate) fn images(source: &Source<'_>, wanted: &Map, local: &Path) -> Result<Vec<Known>, OpsError> {
    let workspace = source.workspace;
    let shares = |packs: &[Blob]| {
        packs.iter().any(|pack| wanted.packs().iter().any(|other| other.digest == pack.digest))
    };
    let mut found: Vec<Known> = Vec::new();
    for entry in by_likelihood(source)? {
        if found.len() == MOST {
            break;
        }
        let Some(decoded) = decoded(workspace, &entry) else { continue };
        for (component, stored) in decoded.bundle.components.into_iter().zip(decoded.stored) {
            let Stored::Packed { map, packs } = stored else { continue };
            if found.iter().any(|known| known.component.digest == component.digest) {
                continue;
            }
            if !shares(&packs) {
                continue;
            }
            // A map that is gone or damaged only makes the image useless as a source.
            let Ok(map) = map_of(workspace, &component, &map, &packs) else { continue };
            if let Some(file) = open(workspace, &component.digest, local)? {
                let name = name_of(&entry).unwrap_or_default().to_owned();
                let image = LocalImage { map: Arc::new(map), image: Arc::new(file) };
                found.push(Known { name, component, image });
            }
        }
    }
    Ok(found)
}

/// The store's names: this version, the nearest ones of the same repository and variant, others, and farther ones.
fn by_likelihood(source: &Source<'_>) -> Result<Vec<Descriptor>, OpsError> {
    let near = std::iter::once(source.reference.clone()).chain(stored_versions(*source)?);
    let near: Vec<String> = near.map(|version| version.variant_name(source.variant)).collect();
    let mut entries = source.workspace.store.index()?.manifests;
    entries.sort_by_cached_key(|entry| {
        match near.iter().position(|name| name_of(entry) == Some(name.as_str())) {
            Some(place) if place <= NEAREST => (0, place),
            None => (1, 0),
            Some(place) => (2, place),
        }
    });
    Ok(entries)
}

/// The file with this digest, from the store or the local path; `None` where neither has it.
pub(crate) fn open(workspace: &Workspace, digest: &Digest, local: &Path) -> Result<Option<File>, OpsError> {
    let store = &workspace.store;
    let place = store.blob_path(digest);
    let known = |path: &Path| store.known_digest(path).is_some_and(|(known, _)| &known == digest);
    let path = if store.has_sound(digest)? {
        place.as_path()
    } else if known(local) {
        local
    } else {
        return Ok(None);
    };
    Ok(Some(fs::open_regular(path)?.0))
}

/// The bundle behind an entry of the store's index, where it is one that can be read.
pub(crate) fn decoded(workspace: &Workspace, entry: &Descriptor) -> Option<native::Decoded> {
    let store = &workspace.store;
    let manifest = store.read_document(entry).ok()?;
    let config = native::decode_manifest(&manifest).ok()?.config;
    native::decode_stored(&manifest, &store.read_document(&config).ok()?).ok()
}
