//! `meta.json`: the version of the store and the features that it uses, in three tiers as ext4 has them.
//!
//! An unknown *compatible* feature changes nothing for an older Port; with an unknown *read-only compatible*
//! one an older Port may read but not write; an unknown *incompatible* one it must not touch.

use std::path::Path;

use port_content::{atomic, fs, limit};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// The version that is written.
const VERSION: u32 = 1;
/// What image-spec 1.1 puts into `oci-layout`.
const OCI_LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Meta {
    version: u32,
    #[serde(default)]
    compatible: Vec<String>,
    #[serde(default)]
    read_only_compatible: Vec<String>,
    #[serde(default)]
    incompatible: Vec<String>,
}

/// Makes `root` a store if it is not one.
pub(crate) fn ensure(root: &Path) -> Result<(), StoreError> {
    let files = |source| StoreError::Files { root: root.to_owned(), source };
    let path = root.join("meta.json");
    if fs::try_metadata(&path).map_err(files)?.is_some() {
        return Ok(());
    }
    fs::create_dir_all(&root.join("blobs/sha256")).map_err(files)?;
    atomic::write(&root.join("oci-layout"), OCI_LAYOUT).map_err(files)?;
    let meta = Meta { version: VERSION, ..Meta::default() };
    let bytes = serde_json::to_vec(&meta).unwrap_or_default();
    // CRASH: meta.json is written last, so a half-made store is made again.
    atomic::write(&path, &bytes).map_err(files)
}

/// Checks that this Port can use the store at `root`, if there is one.
pub(crate) fn check(root: &Path) -> Result<(), StoreError> {
    let path = root.join("meta.json");
    let bytes = match fs::read(&path, limit::RECORD) {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other.map_err(|source| StoreError::Files { root: root.to_owned(), source })?,
    };
    let meta: Meta = serde_json::from_slice(&bytes).map_err(|source| StoreError::Malformed {
        path,
        expected: "the description of a Port store",
        source,
    })?;
    if meta.version != VERSION {
        return Err(StoreError::Version { root: root.to_owned(), found: meta.version, known: VERSION });
    }
    // No feature exists yet, so any that could matter is unknown; Port always opens a store to write.
    match meta.incompatible.into_iter().chain(meta.read_only_compatible).next() {
        Some(feature) => Err(StoreError::Feature { root: root.to_owned(), feature }),
        None => Ok(()),
    }
}
