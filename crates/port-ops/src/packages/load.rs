//! A package's targets, found in its index and read from the store.

use port_layout::kraftkit::{self, Decoded, Documents, Found, Package};
use port_layout::{Descriptor, IndexDocument, Manifest, Platform};
use port_model::digest::Algorithm;
use port_model::{Digest, Reference};

use super::store::{Named, PackageStore};
use super::{PackageError, Selection};

/// A target with its documents.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Its entry of the index.
    pub(super) entry: Descriptor,
    /// What the documents say.
    pub(super) decoded: Decoded,
    /// The manifest.
    pub(super) manifest: Manifest,
    /// The documents' bytes.
    pub(super) documents: Documents,
}

impl Target {
    /// From the bytes of both documents, whose digests were checked.
    pub(super) fn read(
        reference: &Reference,
        found: &Found,
        manifest: (Manifest, Vec<u8>),
        config: Vec<u8>,
    ) -> Result<Self, PackageError> {
        let (manifest, bytes) = manifest;
        check_algorithm("the manifest", &found.descriptor.digest)?;
        check_algorithm("the config", &manifest.config.digest)?;
        let decoded = kraftkit::decode(&bytes, &config)?;
        let (entry, own) = (&found.platform, &decoded.package.config.platform);
        if (&entry.architecture, &entry.os) != (&own.architecture, &own.os) {
            return Err(PackageError::OtherTarget {
                reference: reference.to_string(),
                digest: found.descriptor.digest.clone(),
                expected: target_name(entry),
                found: target_name(own),
            });
        }
        // Its own size, which not every entry says.
        let entry = Descriptor { size: bytes.len() as u64, ..found.descriptor.clone() };
        let documents = Documents { config, manifest: bytes, entry: entry.clone() };
        Ok(Self { entry, decoded, manifest, documents })
    }

    /// The package under this name.
    pub(super) fn package(&self, reference: &Reference) -> Package {
        let mut package = self.decoded.package.renamed(reference.clone());
        if package.packer_version.is_empty() {
            // The entry has the marker, or it would not have been found.
            super::pack::PACKER.clone_into(&mut package.packer_version);
        }
        package
    }
}

/// Documents are kept under their SHA-256 and nothing else: under another name they would be written and never found.
pub(super) fn check_algorithm(what: &str, digest: &Digest) -> Result<(), PackageError> {
    match digest.algorithm() {
        Algorithm::Sha256 => Ok(()),
        found => Err(PackageError::Algorithm { subject: format!("{what} {digest}"), found: found.as_str() }),
    }
}

/// `qemu/x86_64`, as listings have it (acceptance K-69).
pub(super) fn target_name(platform: &Platform) -> String {
    format!("{}/{}", platform.os, platform.architecture)
}

/// The manifest that a selection means in an index, by digest where it has one, and by its query.
pub(super) fn select(
    selection: &Selection,
    index: &IndexDocument,
    index_digest: &Digest,
) -> Result<Vec<Found>, PackageError> {
    let all = kraftkit::discover(index);
    let one = selection.digest().filter(|digest| *digest != index_digest);
    if let Some(digest) = one
        && !all.iter().any(|found| found.descriptor.digest == *digest)
    {
        let reference = selection.name().to_string();
        return Err(PackageError::NoManifest { reference, digest: digest.clone() });
    }
    let fits = |found: &&Found| {
        one.is_none_or(|digest| found.descriptor.digest == *digest)
            && kraftkit::matches(&selection.query, &found.platform)
    };
    let chosen: Vec<Found> = all.iter().filter(fits).cloned().collect();
    if chosen.is_empty() {
        return Err(targets(selection, "a target that fits".to_owned(), &all));
    }
    Ok(chosen)
}

/// The one manifest that a selection means.
pub(super) fn select_one(
    selection: &Selection,
    index: &IndexDocument,
    index_digest: &Digest,
) -> Result<Found, PackageError> {
    let chosen = select(selection, index, index_digest)?;
    match chosen.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(targets(selection, "one target".to_owned(), &chosen)),
    }
}

fn targets(selection: &Selection, expected: String, found: &[Found]) -> PackageError {
    let found = found.iter().map(|found| {
        let hex: String = found.descriptor.digest.hex().chars().take(12).collect();
        format!("{} ({hex})", target_name(&found.platform))
    });
    PackageError::Targets { reference: selection.name().to_string(), expected, found: found.collect() }
}

/// Reads a target that must be here.
pub(super) fn load(
    store: &PackageStore,
    reference: &Reference,
    found: &Found,
) -> Result<Target, PackageError> {
    try_load(store, reference, found)?.ok_or_else(|| PackageError::Gone {
        reference: reference.to_string(),
        digest: found.descriptor.digest.clone(),
        place: store.describe(),
    })
}

/// Reads a target; `None` where one of its documents is not here.
pub(super) fn try_load(
    store: &PackageStore,
    reference: &Reference,
    found: &Found,
) -> Result<Option<Target>, PackageError> {
    let Some(manifest) = store.manifest(&found.descriptor)? else { return Ok(None) };
    let Some(bytes) = store.read(&store.blob(&found.descriptor))? else { return Ok(None) };
    let Some(config) = store.read(&manifest.config.blob())? else { return Ok(None) };
    Target::read(reference, found, (manifest, bytes), config).map(Some)
}

/// Every target of a package that kraft would see and whose documents are here.
pub(super) fn load_all(store: &PackageStore, named: &Named) -> Result<Vec<Target>, PackageError> {
    let found = kraftkit::discover(&named.index);
    found.iter().map(|found| load(store, &named.reference, found)).collect()
}
