//! retag: the targets of a package under another name, with the blobs that are there (acceptance K-4).
//!
//! Manifests carry their package's name, so they are written anew; configs and layers stay what they are. A manifest that
//! would lose something by that is refused.

use port_content::hashing::digest_of;
use port_layout::annotations::{CONTAINERD_NAME, REF_NAME, UNIKRAFT_NAME};
use port_layout::kraftkit::{self, Documents, Package};
use port_layout::{Strategy, go_json};
use port_model::{Digest, Reference};
use serde::Serialize;

use super::load::{self, Target};
use super::{PackageError, Packages, Selection, plain};

/// What has the new name.
#[derive(Debug, Serialize)]
pub struct RetagReport {
    /// From which package.
    pub source: String,
    /// The package.
    pub reference: String,
    /// Its index.
    pub index: Digest,
    /// The manifests that were added.
    pub manifests: Vec<Digest>,
    /// Manifests that they replaced.
    pub replaced: Vec<Digest>,
}

/// Gives the selected targets another name.
///
/// # Errors
/// [`PackageError`] where the source is not there, or the strategy forbids it; then nothing is changed.
pub fn retag(
    packages: &Packages,
    selection: &Selection,
    destination: &Reference,
    strategy: Strategy,
) -> Result<RetagReport, PackageError> {
    let (store, name) = (&packages.store, plain(destination));
    if name == selection.name() {
        return Err(PackageError::Same { reference: name.to_string() });
    }
    let _change = store.change()?;
    let named = store.get(&selection.name())?;
    let mut renamed = Vec::new();
    for found in load::select(selection, &named.index, &named.digest)? {
        renamed.push(rename(&load::load(store, &named.reference, &found)?, &name)?);
    }
    let before = store.find(&name)?;
    let (mut index, mut replaced) = (before.as_ref().map(|before| before.index.clone()), Vec::new());
    for (at, (package, documents)) in renamed.iter().enumerate() {
        // The strategy is about what was there; the package's own targets go beside each other (Ku-28).
        let strategy = if at == 0 { strategy } else { Strategy::Merge };
        let merged = kraftkit::merge(index.as_ref(), package, documents, strategy)?;
        replaced.extend(merged.replaced);
        index = Some(merged.index);
    }
    let index = index.unwrap_or_default();
    for (_, documents) in &renamed {
        store.add_bytes("manifest", &documents.manifest)?;
    }
    let (digest, _) = store.save(&name, &index, before.as_ref())?;
    Ok(RetagReport {
        source: named.reference.to_string(),
        reference: name.to_string(),
        index: digest,
        manifests: renamed.into_iter().map(|(_, documents)| documents.entry.digest).collect(),
        replaced,
    })
}

/// The manifest under its new name. Its config stays to the byte, in whatever order its packer wrote it.
fn rename(target: &Target, name: &Reference) -> Result<(Package, Documents), PackageError> {
    let package = target.package(name);
    let mut manifest = target.manifest.clone();
    if go_json::to_bytes(&manifest) != target.documents.manifest {
        let reference = target.decoded.package.reference.to_string();
        return Err(PackageError::NotCanonical { reference, digest: target.entry.digest.clone() });
    }
    let mut entry = target.entry.clone();
    let names =
        [(CONTAINERD_NAME, name.to_string()), (REF_NAME, package.name()), (UNIKRAFT_NAME, package.name())];
    for (key, value) in names {
        manifest.annotations.insert(key.to_owned(), value.clone());
        entry.annotations.insert(key.to_owned(), value);
    }
    let bytes = go_json::to_bytes(&manifest);
    (entry.digest, entry.size) = (digest_of(&bytes), bytes.len() as u64);
    let documents = Documents { config: target.documents.config.clone(), manifest: bytes, entry };
    Ok((package, documents))
}
