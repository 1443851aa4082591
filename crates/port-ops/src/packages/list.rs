//! list: what the store has, one row per target (acceptance K-69, K-70, K-86 … K-88, Ku-31).

use port_layout::Manifest;
use port_layout::kraftkit::{self, Query};
use port_model::Digest;
use serde::Serialize;

use super::store::PackageStore;
use super::{PackageError, Packages, time};

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageRow {
    /// What kind of component it is; packages are applications (acceptance K-62).
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `registry/repository`.
    pub name: String,
    /// The tag.
    pub version: String,
    /// How it is packed (K-71).
    pub format: &'static str,
    /// When the first of its layers came here, in UTC; none where no layer is here.
    pub pulled: Option<String>,
    /// The manifest.
    pub manifest: Digest,
    /// The index.
    pub index: Digest,
    /// In Unikraft's words.
    pub platform: String,
    /// In Unikraft's words.
    pub architecture: String,
    /// Sum of the layers' sizes; none where there are no layers, or the manifest is not here.
    pub bytes: Option<u64>,
}

/// The packages of the store that kraft would list, by name.
///
/// # Errors
/// [`PackageError`] where the store cannot be read. A single name that leads to nothing readable is told, not an error.
pub fn list(packages: &Packages, query: &Query) -> Result<Vec<PackageRow>, PackageError> {
    let mut listing = packages.store.listing()?;
    for (path, reason) in &listing.unreadable {
        packages.reporter.note(format!("warning: skipped `{}`: {reason}", path.display()));
    }
    listing.named.sort_by_key(|named| named.reference.to_string());
    let mut rows = Vec::new();
    for named in listing.named.iter().filter(|named| kraftkit::is_listed(&named.index)) {
        let (registry, repository) = (named.reference.registry(), named.reference.repository());
        for found in kraftkit::discover(&named.index) {
            if !kraftkit::matches(query, &found.platform) {
                continue;
            }
            // A damaged manifest is `info`'s to say.
            let manifest = packages.store.manifest(&found.descriptor).ok().flatten();
            rows.push(PackageRow {
                kind: "app",
                name: format!("{registry}/{repository}"),
                version: named.reference.version().to_owned(),
                format: "oci",
                pulled: manifest.as_ref().and_then(|manifest| pulled(&packages.store, manifest)),
                manifest: found.descriptor.digest.clone(),
                index: named.digest.clone(),
                platform: found.platform.os.clone(),
                architecture: found.platform.architecture.clone(),
                bytes: manifest.as_ref().and_then(size),
            });
        }
    }
    Ok(rows)
}

/// The earliest time of the layers that are here (acceptance K-86, K-87, K-88).
pub(super) fn pulled(store: &PackageStore, manifest: &Manifest) -> Option<String> {
    let times = manifest.layers.iter().filter_map(|layer| store.time_of(&layer.blob()));
    times.min().map(time::rfc_3339)
}

/// The layers together (acceptance K-70).
pub(super) fn size(manifest: &Manifest) -> Option<u64> {
    let sum = manifest.layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size));
    (!manifest.layers.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use port_layout::Descriptor;
    use port_layout::media_types::{OCI_CONFIG, OCI_LAYER_TAR};

    use super::*;

    fn manifest(layers: &[&Descriptor]) -> Manifest {
        let config = Descriptor::new(OCI_CONFIG, port_content::hashing::digest_of(b"{}"), 2);
        let text = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn k_70_k_86_k_87_k_88_pulled_is_when_the_first_of_the_layers_that_are_here_came() {
        let directory = tempfile::tempdir().unwrap();
        let store = PackageStore::kraft(directory.path());
        let layer = |bytes: &[u8], seconds: u64| {
            let blob = store.add_bytes("layer", bytes).unwrap();
            let file = store.open(&blob).unwrap().unwrap();
            file.file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
            (Descriptor::new(OCI_LAYER_TAR, blob.digest.clone(), blob.size), file.path)
        };
        let ((late, _), (early, path)) = (layer(b"late", 2_000), layer(b"early", 1_000));
        let absent = Descriptor::new(OCI_LAYER_TAR, port_content::hashing::digest_of(b"absent"), 7);
        let found = |layers: &[&Descriptor]| {
            let manifest = manifest(layers);
            (pulled(&store, &manifest), size(&manifest))
        };
        let at = |time: &str| Some(format!("1970-01-01T00:{time}Z"));
        assert_eq!(found(&[&late, &early]), (at("16:40"), Some(9)), "the earliest");
        assert_eq!(found(&[&absent, &late]), (at("33:20"), Some(11)), "one of them is enough");
        assert_eq!(found(&[&absent]), (None, Some(7)), "never");
        assert_eq!(found(&[]), (None, None), "never, and of no size");
        port_content::fs::remove_file(&path).unwrap();
        assert_eq!(found(&[&late, &early]).0, at("33:20"), "what is gone does not count");
    }
}
