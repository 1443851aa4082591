//! Images that lie here and may give blocks to another: what the store or the local path holds of any version.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use port_content::fs;
use port_layout::Descriptor;
use port_layout::index::name_of;
use port_layout::native::{self, Stored};
use port_model::{Component, Digest};
use port_packed::{LocalImage, Map};

use super::map_of;
use crate::error::OpsError;
use crate::workspace::Workspace;

/// One image that lies here.
#[derive(Debug)]
pub(crate) struct Known {
    /// The name under which the store has it.
    pub(crate) name: String,
    pub(crate) component: Component,
    pub(crate) image: LocalImage,
}

/// The images whose maps share a pack with `wanted`, as far as their files are here and unchanged.
///
/// `local` is a path that may hold one of them although the store does not.
pub(crate) fn images(workspace: &Workspace, wanted: &Map, local: &Path) -> Result<Vec<Known>, OpsError> {
    let shares = |map: &Map| {
        map.packs().iter().any(|pack| wanted.packs().iter().any(|other| other.digest == pack.digest))
    };
    let mut found: Vec<Known> = Vec::new();
    for entry in workspace.store.index()?.manifests {
        let Some(decoded) = decoded(workspace, &entry) else { continue };
        for (component, stored) in decoded.bundle.components.into_iter().zip(decoded.stored) {
            let Stored::Packed { map, packs } = stored else { continue };
            if found.iter().any(|known| known.component.digest == component.digest) {
                continue;
            }
            // A map that is gone or damaged only makes the image useless as a source.
            let Ok(map) = map_of(workspace, &component, &map, &packs) else { continue };
            if !shares(&map) {
                continue;
            }
            if let Some(file) = open(workspace, &component.digest, local)? {
                let name = name_of(&entry).unwrap_or_default().to_owned();
                let image = LocalImage { map: Arc::new(map), image: Arc::new(file) };
                found.push(Known { name, component, image });
            }
        }
    }
    Ok(found)
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
