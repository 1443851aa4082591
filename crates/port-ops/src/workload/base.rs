//! The bases of a manifest, one by one until there is none: from files, the local store and registries
//! (acceptance V-12, Vu-21).
//!
//! A base that is not there is a problem of the manifest that names it; one that cannot be asked for is an error of
//! its own, since nobody knows whether it is there.

use std::path::{Path, PathBuf};

use port_content::fs;
use port_document::LARGEST_TEXT;
use port_layout::{Descriptor, Manifest};
use port_model::{Digest, Reference};
use port_registry::{Kind, RegistryHost, RepositoryName, TagOrDigest};
use port_store::{Store, StoreError};
use port_trust::SignedName;
use port_workload::{Base, Chain, Document, Problem, extends_problem};

use super::{Surroundings, WorkloadError};
use crate::copy::Side;
use crate::error::OpsError;
use crate::trust::require::require;

/// A manifest in TOML, as a layer of what is published.
pub const MANIFEST_TOML: &str = "application/vnd.port.workload.v1+toml";
/// A manifest in JSON, as a layer of what is published.
pub const MANIFEST_JSON: &str = "application/vnd.port.workload.v1+json";

/// Adds every base to the chain. The inner error is a problem of the last manifest's `extends`.
pub(super) async fn extend(
    chain: &mut Chain,
    surroundings: &Surroundings,
) -> Result<Result<(), Problem>, WorkloadError> {
    loop {
        let base = match chain.next() {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(base)) => base,
            Err(problem) => return Ok(Err(problem)),
        };
        let name = name_of(chain, &base);
        let Some((document, identity)) = bring(&base, &name, surroundings).await? else {
            let message = format!("the base `{name}` is not there");
            return Ok(Err(extends_problem(message, where_to_put(&base))));
        };
        if let Err(problem) = chain.push(document, identity) {
            return Ok(Err(problem));
        }
    }
}

/// How messages name a base: a file by the way to it from the first manifest as it was typed.
fn name_of(chain: &Chain, base: &Base) -> String {
    let last = chain.documents().last();
    let written = last.and_then(|document| document.manifest.extends.as_deref());
    let directory = last.and_then(|document| Path::new(&document.name).parent());
    match (base, directory, written) {
        (Base::File(_), Some(directory), Some(written)) => directory.join(written).display().to_string(),
        _ => base.to_string(),
    }
}

fn where_to_put(base: &Base) -> &'static str {
    match base {
        Base::File(_) => "a relative path starts at the directory of the manifest that names it",
        Base::Stored(_) => {
            "`port store list` says what the store holds; `--config` names the project whose store is meant"
        }
        Base::Published(_) => "publish it there, or correct the reference",
    }
}

/// The base with what it is beyond its name; none where it is not there.
async fn bring(
    base: &Base,
    name: &str,
    surroundings: &Surroundings,
) -> Result<Option<(Document, String)>, WorkloadError> {
    let (bytes, source, identity) = match base {
        Base::File(path) => match read_file(path)? {
            Some((bytes, place)) => {
                let identity = place.display().to_string();
                (bytes, place, identity)
            }
            None => return Ok(None),
        },
        Base::Stored(digest) => {
            let store = (surroundings.open_store)().map_err(|error| WorkloadError::Store(Box::new(error)))?;
            let Some(bytes) = read_stored(&store, digest)? else { return Ok(None) };
            (bytes, PathBuf::new(), digest.to_string())
        }
        Base::Published(reference) => match fetch(reference, surroundings).await? {
            // Named by the digest of its content, so that two tags of one manifest are one.
            Some((bytes, digest)) => (bytes, PathBuf::new(), digest.to_string()),
            None => return Ok(None),
        },
    };
    Ok(Some((Document::parse(name, source, &bytes)?, identity)))
}

fn read_file(path: &Path) -> Result<Option<(Vec<u8>, PathBuf)>, WorkloadError> {
    let unreadable = |source| WorkloadError::Read { file: path.to_owned(), source };
    match fs::read(path, LARGEST_TEXT as u64) {
        Err(error) if error.is_not_found() => Ok(None),
        bytes => Ok(Some((bytes.map_err(unreadable)?, fs::canonicalize(path).map_err(unreadable)?))),
    }
}

fn read_stored(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, WorkloadError> {
    let failed = |source| WorkloadError::Stored { digest: digest.clone(), source: Box::new(source) };
    let path = store.blob_path(digest);
    let inspected = fs::try_metadata(&path).map_err(|source| WorkloadError::Read { file: path, source })?;
    let Some(metadata) = inspected else { return Ok(None) };
    match store.read_blob(digest, metadata.len(), LARGEST_TEXT as u64) {
        Err(StoreError::NoBlob { .. }) => Ok(None),
        bytes => bytes.map(Some).map_err(failed),
    }
}

async fn fetch(
    reference: &Reference,
    surroundings: &Surroundings,
) -> Result<Option<(Vec<u8>, Digest)>, WorkloadError> {
    let named = |source| WorkloadError::Name { reference: reference.to_string(), source };
    let host: RegistryHost = reference.registry().parse().map_err(named)?;
    let name: RepositoryName = reference.repository().parse().map_err(named)?;
    let wanted = match reference.digest() {
        Some(digest) => TagOrDigest::Digest(digest.clone()),
        None => TagOrDigest::Tag(reference.version().parse().map_err(named)?),
    };
    let repository = surroundings.client(&host).repository(&host, &name)?;
    let manifest = match repository.manifest(&wanted).await {
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        manifest => manifest?,
    };
    let policies = (surroundings.policies)()?;
    let side = Side::Registry(repository.clone());
    let judged = require(&policies, Some(&side), &SignedName::of(reference), &manifest.digest).await;
    judged.map_err(OpsError::from)?;
    let layer = layer(reference, &manifest.bytes)?;
    let bytes = repository.blob_to_memory(&layer.digest, layer.size, LARGEST_TEXT as u64).await?;
    Ok(Some((bytes.to_vec(), layer.digest)))
}

/// The layer that holds the manifest: the one that says so, else the only one, as a plain push of a file makes it.
fn layer(reference: &Reference, bytes: &[u8]) -> Result<Descriptor, WorkloadError> {
    let refused = |reason: String| WorkloadError::NoManifest { reference: reference.to_string(), reason };
    let manifest: Manifest = port_layout::json::read(bytes, "manifest", "an OCI image manifest with layers")
        .map_err(|error| refused(error.to_string()))?;
    let says_so = |layer: &&Descriptor| matches!(layer.media_type.as_str(), MANIFEST_TOML | MANIFEST_JSON);
    let found = match manifest.layers.as_slice() {
        [only] => Some(only),
        layers => layers.iter().find(says_so),
    };
    let Some(layer) = found else {
        let count = manifest.layers.len();
        return Err(refused(format!("expected a layer of type `{MANIFEST_TOML}`, found {count} others")));
    };
    if layer.size > LARGEST_TEXT as u64 {
        return Err(refused(format!("expected at most {LARGEST_TEXT} bytes, found {}", layer.size)));
    }
    Ok(layer.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer_of(layers: &str) -> Result<Descriptor, String> {
        let reference = "localhost:5000/acme/base:v1".parse().unwrap();
        let text = format!("{{\"schemaVersion\":2,\"config\":{CONFIG},\"layers\":[{layers}]}}");
        layer(&reference, text.as_bytes()).map_err(|error| error.to_string())
    }

    const CONFIG: &str = r#"{"mediaType":"x","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;

    fn a_layer(media_type: &str, size: usize) -> String {
        CONFIG.replace("\"x\"", &format!("{media_type:?}")).replace(":2}", &format!(":{size}}}"))
    }

    #[test]
    fn the_layer_that_says_so_or_the_only_one_is_taken() {
        assert_eq!(layer_of(&a_layer("application/x", 7)).unwrap().size, 7);
        let several = [a_layer("application/x", 1), a_layer(MANIFEST_TOML, 2)].join(",");
        assert_eq!(layer_of(&several).unwrap().size, 2);
        for (layers, part) in [
            (String::new(), "found 0 others"),
            ([a_layer("a/x", 1), a_layer("a/y", 2)].join(","), "found 2 others"),
            (a_layer("a/x", LARGEST_TEXT + 1), "at most 1048576 bytes, found 1048577"),
        ] {
            let error = layer_of(&layers).unwrap_err();
            assert!(error.contains(part) && error.contains("localhost:5000/acme/base:v1"), "{error}");
        }
    }
}
