//! How the files of a variant are published, for people: packs, what of them is used, what other versions share, deltas.
//!
//! Reads maps and lists, never a pack. What cannot be read is said and left out: an inspection shows what there is.

use port_layout::delta::{self, Offer};
use port_layout::index::name_of;
use port_layout::native::{Decoded, LARGEST_MAP, Stored};
use port_layout::{Blob, media_types};
use port_model::{Component, Digest, Encoding, FileName};
use port_packed::Map;
use port_registry::Repository;
use serde::Serialize;

use crate::copy::CopyError;
use crate::copy::side::from_registry;
use crate::error::OpsError;
use crate::packed::deltas::LOOKED_AT;
use crate::packed::{check_map, local, map_of};
use crate::workspace::Workspace;

/// How one file is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EncodedFile {
    /// Which.
    pub file_name: FileName,
    /// How.
    pub encoding: Encoding,
    /// Sum of the sizes of its blobs.
    pub bytes: u64,
    /// Where it is packed and its map can be read: what that says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<PackedFile>,
}

/// A packed file in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackedFile {
    /// Digest of the map.
    pub map: Digest,
    /// Size of the map.
    pub map_bytes: u64,
    /// The packs, in the order of the map.
    pub packs: Vec<PackRow>,
    /// Sum of the packs' sizes.
    pub pack_bytes: u64,
    /// Bytes of the file that are not in holes.
    pub data_bytes: u64,
    /// Of those, what repeats other blocks of the file and is stored once.
    pub repeated_bytes: u64,
    /// Bytes of the packs, about, that the file does not use.
    pub dead_bytes: u64,
    /// From how many pushes the packs are.
    pub generations: u32,
    /// The versions in the store that have packs in common with it, by name.
    pub shared: Vec<SharedRow>,
    /// Deltas that make the file, the smallest first; `None` where nobody was asked.
    pub deltas: Option<Vec<DeltaRow>>,
}

/// One pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackRow {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// Which push it is from; the oldest is 0.
    pub generation: u32,
    /// How many frames it has.
    pub frames: u64,
    /// Its content, decompressed.
    pub plain_bytes: u64,
    /// Of that, what the file uses.
    pub live_bytes: u64,
    /// Of its size, about how much the file does not use.
    pub dead_bytes: u64,
}

/// What a version in the store has in common with the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedRow {
    /// The published name of the variant.
    pub name: String,
    /// How many packs.
    pub packs: usize,
    /// Sum of their sizes.
    pub bytes: u64,
}

/// One delta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeltaRow {
    /// Its manifest.
    pub manifest: Digest,
    /// The raw file that it starts from.
    pub parent: Digest,
    /// The versions in the store that have that file, by name.
    pub versions: Vec<String>,
    /// The delta's size.
    pub bytes: u64,
}

/// A packed file of a version in the store.
struct Known {
    name: String,
    digest: Digest,
    map: Blob,
    packs: Vec<Blob>,
}

/// The files as the store's documents describe them.
pub(super) fn stored(workspace: &Workspace, decoded: &Decoded) -> Result<Vec<EncodedFile>, OpsError> {
    let known = known(workspace)?;
    let pairs = decoded.bundle.components.iter().zip(&decoded.stored);
    let describe = |(component, stored): (&Component, &Stored)| {
        let described = match stored {
            Stored::Packed { map, packs } => said(workspace, map_of(workspace, component, map, packs))
                .map(|read| packed(&read, map, &known)),
            Stored::Raw | Stored::Zstd(_) => None,
        };
        file(component, stored, described)
    };
    Ok(pairs.map(describe).collect())
}

/// The files as a registry has them, under this manifest. Maps come into memory where the store has them not.
pub(crate) async fn published(
    workspace: &Workspace,
    repository: Option<&Repository>,
    manifest: &Digest,
    decoded: &Decoded,
) -> Result<Vec<EncodedFile>, OpsError> {
    let known = known(workspace)?;
    let mut files = Vec::new();
    for (component, stored) in decoded.bundle.components.iter().zip(&decoded.stored) {
        let mut described = None;
        if let (Stored::Packed { map, packs }, Some(repository)) = (stored, repository) {
            let read = fetched(workspace, repository, component, (map, packs)).await;
            if let Some(read) = said(workspace, read) {
                let deltas = deltas(workspace, repository, manifest, component).await;
                let deltas = deltas.map(|offers| rows(offers, &known));
                described = Some(PackedFile { deltas, ..packed(&read, map, &known) });
            }
        }
        files.push(file(component, stored, described));
    }
    Ok(files)
}

fn file(component: &Component, stored: &Stored, packed: Option<PackedFile>) -> EncodedFile {
    EncodedFile {
        file_name: component.file_name.clone(),
        encoding: stored.encoding(),
        bytes: stored.blobs(component).iter().map(|blob| blob.size).sum(),
        packed,
    }
}

/// A map that cannot be read is said.
fn said(workspace: &Workspace, read: Result<Map, OpsError>) -> Option<Map> {
    read.inspect_err(|error| {
        workspace.note(format!("the packs are not shown: {}", crate::error::chain(error)));
    })
    .ok()
}

/// The packed files of all versions in the store.
fn known(workspace: &Workspace) -> Result<Vec<Known>, OpsError> {
    let mut known = Vec::new();
    for entry in workspace.store.index()?.manifests {
        let Some(name) = name_of(&entry) else { continue };
        let Some(decoded) = local::decoded(workspace, &entry) else { continue };
        for (component, stored) in decoded.bundle.components.into_iter().zip(decoded.stored) {
            if let Stored::Packed { map, packs } = stored {
                known.push(Known { name: name.to_owned(), digest: component.digest, map, packs });
            }
        }
    }
    known.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(known)
}

async fn fetched(
    workspace: &Workspace,
    repository: &Repository,
    component: &Component,
    (map, packs): (&Blob, &[Blob]),
) -> Result<Map, OpsError> {
    if workspace.store.has(&map.digest) {
        return map_of(workspace, component, map, packs);
    }
    let bytes = repository.blob_to_memory(&map.digest, map.size, LARGEST_MAP).await;
    check_map(component, map, packs, &bytes.map_err(CopyError::from)?)
}

async fn deltas(
    workspace: &Workspace,
    repository: &Repository,
    manifest: &Digest,
    component: &Component,
) -> Option<Vec<Offer>> {
    // As far as a pull would look: what it does not find there is nothing to choose from.
    match repository.referrers_within(manifest, Some(media_types::PACKED_DELTA), LOOKED_AT).await {
        Ok(found) => {
            let entries: Vec<_> = found.into_iter().map(from_registry).collect();
            Some(delta::offers(&entries, component))
        }
        Err(error) => {
            workspace.note(format!("deltas cannot be listed: {}", crate::error::chain(&error)));
            None
        }
    }
}

fn rows(offers: Vec<Offer>, known: &[Known]) -> Vec<DeltaRow> {
    let row = |offer: Offer| {
        let versions = known.iter().filter(|known| known.digest == offer.parent);
        DeltaRow {
            versions: versions.map(|known| known.name.clone()).collect(),
            manifest: offer.manifest.digest,
            parent: offer.parent,
            bytes: offer.size,
        }
    };
    offers.into_iter().map(row).collect()
}

fn packed(map: &Map, blob: &Blob, known: &[Known]) -> PackedFile {
    let found = map.statistics();
    let row = |pack: port_packed::PackStatistics| PackRow {
        digest: pack.digest,
        bytes: pack.size,
        generation: pack.generation,
        frames: pack.frames,
        plain_bytes: pack.plain,
        live_bytes: pack.live,
        dead_bytes: pack.dead_stored,
    };
    let packs: Vec<PackRow> = found.packs.into_iter().map(row).collect();
    PackedFile {
        map: blob.digest.clone(),
        map_bytes: blob.size,
        pack_bytes: packs.iter().map(|pack| pack.bytes).sum(),
        data_bytes: found.data,
        repeated_bytes: found.repeated,
        dead_bytes: packs.iter().map(|pack| pack.dead_bytes).sum(),
        generations: map.generations(),
        shared: shared(&blob.digest, &packs, known),
        deltas: None,
        packs,
    }
}

/// What other files have of these packs. The same map is the same file, and no news.
fn shared(own: &Digest, packs: &[PackRow], known: &[Known]) -> Vec<SharedRow> {
    let others = known.iter().filter(|known| &known.map.digest != own);
    let row = |other: &Known| {
        let common = packs.iter().filter(|pack| other.packs.iter().any(|known| known.digest == pack.digest));
        let sizes: Vec<u64> = common.map(|pack| pack.bytes).collect();
        SharedRow { name: other.name.clone(), packs: sizes.len(), bytes: sizes.iter().sum() }
    };
    others.map(row).filter(|row| row.packs > 0).collect()
}
