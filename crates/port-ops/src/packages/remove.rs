//! remove: targets out of their index, and the index with the last of them (acceptance K-89 … K-93).

use port_layout::index::Entry;
use port_model::Digest;
use serde::Serialize;

use super::{PackageError, Packages, Selection, load};

/// What was removed.
#[derive(Debug, Serialize)]
pub struct RemoveReport {
    /// The package.
    pub reference: String,
    /// Manifests that are no longer in its index.
    pub removed: Vec<Digest>,
    /// Manifests that still are.
    pub remaining: usize,
    /// Blobs that nothing led to any more.
    pub blobs: u64,
    /// Their sizes together.
    pub bytes: u64,
}

/// Takes the selected targets out. What other names lead to stays (C-12); what is gone already is no error.
///
/// # Errors
/// [`PackageError`] where there is no such package or no such target.
pub fn remove(packages: &Packages, selection: &Selection) -> Result<RemoveReport, PackageError> {
    let store = &packages.store;
    let _change = store.change()?;
    let named = match store.get(&selection.name()) {
        Err(error) if (error.is_of_index() || error.is_absence()) && selection.is_whole() => {
            return broken(packages, selection, error);
        }
        other => other?,
    };
    let removed: Vec<Digest> = if selection.is_whole() {
        named.index.entries().iter().map(|entry| entry.descriptor().digest.clone()).collect()
    } else {
        let chosen = load::select(selection, &named.index, &named.digest)?;
        chosen.into_iter().map(|found| found.descriptor.digest).collect()
    };
    let kept = named.index.entries().iter().filter(|entry| !removed.contains(&entry.descriptor().digest));
    let kept: Vec<Entry> = kept.cloned().collect();
    let remaining = kept.len();
    let swept = if kept.is_empty() {
        store.forget(&named)?
    } else {
        let index = named.index.clone().with_entries(kept);
        store.save(&named.reference, &index, Some(&named))?.1
    };
    Ok(RemoveReport {
        reference: named.reference.to_string(),
        removed,
        remaining,
        blobs: swept.blobs,
        bytes: swept.bytes,
    })
}

/// A name that leads to no index can be removed too, or it would be in the way for ever.
fn broken(
    packages: &Packages,
    selection: &Selection,
    error: PackageError,
) -> Result<RemoveReport, PackageError> {
    if !packages.store.forget_broken(&selection.name())? {
        return Err(error);
    }
    let reference = selection.name().to_string();
    packages
        .reporter
        .note(format!("warning: the index of `{reference}` could not be read; its name is gone"));
    Ok(RemoveReport { reference, removed: Vec::new(), remaining: 0, blobs: 0, bytes: 0 })
}
