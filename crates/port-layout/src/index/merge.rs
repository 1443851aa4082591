//! One variant into the index of a version, beside whatever is there.
//!
//! Invariant: entries of other variants and of other tools stay as they are, in their order, in front; Port's
//! entries follow in the order of class and variant. So jobs that publish variants of one version in any order
//! end with the same bytes.

use std::fmt;
use std::str::FromStr;

use port_model::{ArtifactClass, Bundle, Digest, Variant};

use super::entries::{Entry, IndexDocument};
use super::select::variant_of;
use crate::document::MOST_ENTRIES;
use crate::oci::Descriptor;

/// What happens to what is already published under the version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Add beside the others. Native: an existing variant with another digest is a conflict.
    #[default]
    Merge,
    /// Native: replace this variant, keep the others. KraftKit: begin a new index.
    Overwrite,
    /// Only where nothing is published yet.
    Exit,
}

impl Strategy {
    /// The words of `--strategy`. `abort` is KraftKit's later word for `exit` (acceptance C-17).
    pub const WORDS: &'static [&'static str] = &["merge", "overwrite", "exit", "abort"];

    /// The word for this value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Overwrite => "overwrite",
            Self::Exit => "exit",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Strategy {
    type Err = port_model::UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "merge" => Ok(Self::Merge),
            "overwrite" => Ok(Self::Overwrite),
            "exit" | "abort" => Ok(Self::Exit),
            _ => Err(port_model::UnknownWord {
                what: "strategy",
                found: text.to_owned(),
                expected: Self::WORDS,
            }),
        }
    }
}

/// What the merge did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There was no index; now there is one.
    Created,
    /// The entry was added.
    Added,
    /// The entry took the place of these manifests.
    Replaced(Vec<Digest>),
    /// The very entry was there; there is nothing to publish.
    Unchanged,
}

/// An index with the entry in it.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The whole index.
    pub index: IndexDocument,
    /// How it differs from the one before.
    pub change: Change,
}

/// Why an entry cannot go in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// This variant is published already, with other content.
    #[error("the {class} `{variant}` is already published as {found}: expected no such entry, or {expected}")]
    VariantExists {
        /// Kernel or guest image.
        class: ArtifactClass,
        /// Which variant.
        variant: Variant,
        /// The manifest to publish.
        expected: Digest,
        /// The manifest that is there.
        found: Digest,
    },
    /// Something is published already, and the strategy is `exit`.
    #[error("the version is already published with {found} entries: expected none (strategy `exit`)")]
    Exists {
        /// How many entries there are.
        found: usize,
    },
    /// The index is of a form that cannot hold an OCI manifest.
    #[error("the version is a `{found}`: expected an OCI image index")]
    Form {
        /// Its media type.
        found: String,
    },
    /// One entry more than is read back.
    #[error("the index would have {found} entries: at most {MOST_ENTRIES} are read")]
    TooMany {
        /// How many.
        found: usize,
    },
}

/// Puts the entry of `bundle`'s manifest into `existing`, or into a new index. Changes nothing in place.
///
/// # Errors
/// [`Conflict`] where the strategy forbids it or the index cannot hold it.
pub fn merge(
    existing: Option<&IndexDocument>,
    bundle: &Bundle,
    digest: Digest,
    size: u64,
    strategy: Strategy,
) -> Result<Merged, Conflict> {
    let descriptor = crate::native::index_entry(bundle, digest, size);
    let Some(existing) = existing else {
        let index = IndexDocument::default().with_entries(vec![Entry::new(descriptor)]);
        return Ok(Merged { index, change: Change::Created });
    };
    if existing.is_docker() {
        return Err(Conflict::Form { found: existing.media_type() });
    }
    let key = (bundle.class, bundle.variant);
    let (same, kept): (Vec<Entry>, Vec<Entry>) =
        existing.entries().iter().cloned().partition(|entry| variant_of(entry.descriptor()) == Some(key));
    let is_this = |entry: &Entry| {
        entry.descriptor().digest == descriptor.digest && entry.descriptor().size == descriptor.size
    };
    if !same.is_empty() && same.iter().all(is_this) {
        // A rerun after a kill must succeed under every strategy.
        return Ok(Merged { index: existing.clone(), change: Change::Unchanged });
    }
    check(existing, &same, key, &descriptor, strategy)?;
    let replaced: Vec<Digest> = same.iter().map(|entry| entry.descriptor().digest.clone()).collect();
    let entries = ordered(kept, descriptor);
    if entries.len() > MOST_ENTRIES {
        return Err(Conflict::TooMany { found: entries.len() });
    }
    let change = if replaced.is_empty() { Change::Added } else { Change::Replaced(replaced) };
    Ok(Merged { index: existing.clone().with_entries(entries), change })
}

fn check(
    existing: &IndexDocument,
    same: &[Entry],
    (class, variant): (ArtifactClass, Variant),
    new: &Descriptor,
    strategy: Strategy,
) -> Result<(), Conflict> {
    match strategy {
        Strategy::Overwrite => Ok(()),
        Strategy::Exit if existing.entries().is_empty() => Ok(()),
        Strategy::Exit => Err(Conflict::Exists { found: existing.entries().len() }),
        Strategy::Merge => match same.iter().find(|entry| entry.descriptor().digest != new.digest) {
            None => Ok(()),
            Some(other) => Err(Conflict::VariantExists {
                class,
                variant,
                expected: new.digest.clone(),
                found: other.descriptor().digest.clone(),
            }),
        },
    }
}

/// Others' entries as they are, then Port's by class and variant.
fn ordered(kept: Vec<Entry>, new: Descriptor) -> Vec<Entry> {
    let (mut ours, mut entries): (Vec<Entry>, Vec<Entry>) =
        kept.into_iter().partition(|entry| variant_of(entry.descriptor()).is_some());
    ours.push(Entry::new(new));
    ours.sort_by_key(|entry| variant_of(entry.descriptor()));
    entries.extend(ours);
    entries
}
