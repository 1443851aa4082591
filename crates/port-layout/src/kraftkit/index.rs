//! The index that presents a package: merging a manifest into it, and finding manifests in one.
//!
//! Invariant: two entries never have one platform (acceptance K-39, K-40, C-8); entries that kraft would not
//! see are never touched.

use port_model::Digest;

use super::encode::{Documents, index_annotations};
use super::{Package, normalized};
use crate::annotations::KRAFTKIT_VERSION;
use crate::document::MOST_ENTRIES;
use crate::index::{Entry, IndexDocument, Strategy};
use crate::oci::{Descriptor, Platform};

/// An index with the package in it.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The whole index.
    pub index: IndexDocument,
    /// Manifests that are no longer in it. Their blobs may be others' too (C-12): sweep, never delete directly.
    pub replaced: Vec<Digest>,
}

/// Why a package cannot go in; said before anything is written (C-14).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageConflict {
    /// There is an index, and the strategy is `exit` (acceptance K-34, K-36).
    #[error("`{reference}` exists with {found} manifests: expected none (strategy `exit`)")]
    Exists {
        /// The package.
        reference: String,
        /// How many manifests.
        found: usize,
    },
    /// The index is of a form that cannot hold an OCI manifest.
    #[error("`{reference}` is a `{found}`: expected an OCI image index")]
    Form {
        /// The package.
        reference: String,
        /// Its media type.
        found: String,
    },
    /// One entry more than is read back.
    #[error("`{reference}` would have {found} manifests: at most {MOST_ENTRIES} are read")]
    TooMany {
        /// The package.
        reference: String,
        /// How many.
        found: usize,
    },
}

/// Puts a package's manifest into its index (acceptance K-31 … K-44). The new entry stands last, as kraft has it.
///
/// # Errors
/// [`PackageConflict`] where the strategy forbids it or the index cannot hold it.
pub fn merge(
    existing: Option<&IndexDocument>,
    package: &Package,
    documents: &Documents,
    strategy: Strategy,
) -> Result<Merged, PackageConflict> {
    let reference = format!("{}:{}", package.name(), package.reference.version());
    let (index, kept, replaced) = match (existing, strategy) {
        (None, _) => (IndexDocument::default(), Vec::new(), Vec::new()),
        (Some(existing), Strategy::Exit) => {
            return Err(PackageConflict::Exists { reference, found: existing.entries().len() });
        }
        (Some(existing), Strategy::Overwrite) => {
            (IndexDocument::default(), Vec::new(), digests(existing.entries()))
        }
        (Some(existing), Strategy::Merge) if existing.is_docker() => {
            return Err(PackageConflict::Form { reference, found: existing.media_type() });
        }
        (Some(existing), Strategy::Merge) => {
            let (same, kept): (Vec<Entry>, Vec<Entry>) = existing
                .entries()
                .iter()
                .cloned()
                .partition(|entry| is_same_target(entry.descriptor(), &documents.entry));
            (existing.clone(), kept, digests(&same))
        }
    };
    if kept.len() >= MOST_ENTRIES {
        return Err(PackageConflict::TooMany { reference, found: kept.len() + 1 });
    }
    let mut entries = kept;
    entries.push(Entry::new(documents.entry.clone()));
    let mut index = index.with_entries(entries);
    index.annotate(index_annotations(package));
    let replaced = replaced.into_iter().filter(|digest| !index.contains(digest)).collect();
    Ok(Merged { index, replaced })
}

fn digests(entries: &[Entry]) -> Vec<Digest> {
    entries.iter().map(|entry| entry.descriptor().digest.clone()).collect()
}

/// Equal platforms have equal checksums, since the seed is the same for one index; so they are compared as such.
fn is_same_target(entry: &Descriptor, new: &Descriptor) -> bool {
    let platform = |descriptor: &Descriptor| descriptor.platform.as_ref().map(normalized);
    is_visible(entry) && platform(entry).is_some() && platform(entry) == platform(new)
}

/// Whether kraft sees this entry: it has the marker, whatever its value (acceptance Ku-11).
fn is_visible(entry: &Descriptor) -> bool {
    entry.annotations.contains_key(KRAFTKIT_VERSION)
}

/// Whether kraft lists this index among its local packages: it has the marker itself (acceptance Ku-11).
pub fn is_listed(index: &IndexDocument) -> bool {
    index.annotations().contains_key(KRAFTKIT_VERSION)
}

/// A manifest that an index offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The manifest.
    pub descriptor: Descriptor,
    /// Its target.
    pub platform: Platform,
}

/// The manifests that kraft would see. Entries without marker or platform are left out.
pub fn discover(index: &IndexDocument) -> Vec<Found> {
    let visible = index.entries().iter().map(Entry::descriptor).filter(|entry| is_visible(entry));
    let found = visible.filter_map(|descriptor| {
        let platform = descriptor.platform.clone()?;
        Some(Found { descriptor: descriptor.clone(), platform })
    });
    found.collect()
}

/// What a caller asks for; what is empty fits all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// In Unikraft's words.
    pub architecture: Option<String>,
    /// In Unikraft's words or their aliases.
    pub platform: Option<String>,
    /// `KEY=VALUE`; each must be there.
    pub features: Vec<String>,
}

/// Whether a target is what was asked for (acceptance Ku-33).
pub fn matches(query: &Query, target: &Platform) -> bool {
    let wanted = |wanted: &Option<String>, found: &str| {
        wanted.as_deref().is_none_or(|w| super::platform_name(w) == super::platform_name(found))
    };
    wanted(&query.architecture, &target.architecture)
        && wanted(&query.platform, &target.os)
        && query.features.iter().all(|feature| target.os_features.contains(feature))
}
