//! The packed encoding between store and registry (docs/formats/packed-image.md).
//!
//! ```text
//! push:  parent ─► pack ─► packs as they are made ─► registry        then deltas for earlier versions, as referrers
//! pull:  map ─► what lies here? ─► the cheapest of packs, ranges of packs, a delta ─► assemble ─► store
//! ```
//!
//! The format itself is port-packed's; here is what is fetched and sent, and from which version.

pub(crate) mod deltas;
pub(crate) mod local;
pub(crate) mod pack;
pub(crate) mod parent;
pub(crate) mod pull;

use port_layout::Blob;
use port_model::Component;
use port_packed::Map;

use crate::error::OpsError;
use crate::workspace::Workspace;

/// [`check_map`] of a map that is in the store.
pub(crate) fn map_of(
    workspace: &Workspace,
    component: &Component,
    map: &Blob,
    packs: &[Blob],
) -> Result<Map, OpsError> {
    let bytes = workspace.store.read_blob(&map.digest, map.size, port_layout::native::LARGEST_MAP)?;
    check_map(component, map, packs, &bytes)
}

/// Reads a map, and checks that it is the component's and needs the packs that the manifest lists.
pub(crate) fn check_map(
    component: &Component,
    map: &Blob,
    packs: &[Blob],
    bytes: &[u8],
) -> Result<Map, OpsError> {
    let wrong = |reason: String| OpsError::WrongMap {
        file_name: component.file_name.clone(),
        digest: map.digest.clone(),
        reason,
    };
    let read = Map::decode(bytes)?;
    if read.image_digest() != &component.digest || read.image_size() != component.size {
        let expected = format!("{} bytes with {}", component.size, component.digest);
        let found = format!("{} bytes with {}", read.image_size(), read.image_digest());
        return Err(wrong(format!("it makes {found}, expected {expected}")));
    }
    let listed = packs.iter().map(|pack| (&pack.digest, pack.size));
    if !read.packs().iter().map(|pack| (&pack.digest, pack.size())).eq(listed) {
        let (needs, lists) = (read.packs().len(), packs.len());
        return Err(wrong(format!("it needs {needs} packs, and the manifest lists {lists}, or others")));
    }
    Ok(read)
}
