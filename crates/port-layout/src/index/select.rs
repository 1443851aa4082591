//! The one entry of a version's index that was asked for, or a refusal that lists what exists.
//!
//! Nothing falls back: an entry counts only where class, platform and both annotations say the variant
//! in Port's words. Entries that say less are counted, never guessed at.

use port_model::{Architecture, ArtifactClass, Digest, Variant};

use super::entries::IndexDocument;
use crate::annotations::{CLASS, PROTECTION_MODE, SUBSTRATE};
use crate::media_types;
use crate::oci::Descriptor;

/// A variant that an index offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Kernel or guest image.
    pub class: ArtifactClass,
    /// Which variant.
    pub variant: Variant,
    /// The manifest.
    pub descriptor: Descriptor,
}

/// Why no entry can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No entry is this variant.
    #[error("no {class} of the index matches `{wanted}`\n  found: {}", list(available, *others))]
    NoSuchVariant {
        /// Kernel or guest image.
        class: ArtifactClass,
        /// What was asked for.
        wanted: Variant,
        /// What exists.
        available: Vec<(ArtifactClass, Variant)>,
        /// How many entries do not say a variant in Port's words.
        others: usize,
    },
    /// Several entries are this variant, with different content.
    #[error("the index has {} entries for the {class} `{wanted}`: expected one, found {}", found.len(), digests(found))]
    Ambiguous {
        /// Kernel or guest image.
        class: ArtifactClass,
        /// What was asked for.
        wanted: Variant,
        /// Their manifests.
        found: Vec<Digest>,
    },
}

fn list(available: &[(ArtifactClass, Variant)], others: usize) -> String {
    let mut words: Vec<String> =
        available.iter().map(|(class, variant)| format!("{class} {variant}")).collect();
    if others > 0 {
        words.push(format!("{others} that say no variant"));
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn digests(found: &[Digest]) -> String {
    found.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ")
}

/// What an entry says it is, where it says all of it.
pub(crate) fn variant_of(entry: &Descriptor) -> Option<(ArtifactClass, Variant)> {
    if entry.media_type != media_types::OCI_MANIFEST {
        return None;
    }
    let class = class_of(entry)?;
    let platform = entry.platform.as_ref().filter(|platform| platform.os == "linux")?;
    let architecture =
        Architecture::ALL.iter().copied().find(|known| known.oci_name() == platform.architecture)?;
    let substrate = entry.annotations.get(SUBSTRATE)?.parse().ok()?;
    let protection_mode = entry.annotations.get(PROTECTION_MODE)?.parse().ok()?;
    Some((class, Variant::new(architecture, substrate, protection_mode)))
}

/// By artifact type and annotation. `skopeo copy` writes an index anew without the entries' artifact types, so the
/// annotation alone will do; where both are there they must agree.
fn class_of(entry: &Descriptor) -> Option<ArtifactClass> {
    let annotated = match entry.annotations.get(CLASS) {
        Some(word) => Some(word.parse().ok()?),
        None => None,
    };
    let typed = match entry.artifact_type.as_deref() {
        Some(artifact_type) => Some(media_types::class_of(artifact_type)?),
        None => None,
    };
    match (annotated, typed) {
        (Some(annotated), Some(typed)) if annotated != typed => None,
        _ => typed.or(annotated),
    }
}

/// The variants that an index offers, in its order.
pub fn variants(index: &IndexDocument) -> Vec<Published> {
    let published = index.entries().iter().filter_map(|entry| {
        let (class, variant) = variant_of(entry.descriptor())?;
        Some(Published { class, variant, descriptor: entry.descriptor().clone() })
    });
    published.collect()
}

/// The manifest of exactly this variant.
///
/// # Errors
/// [`SelectError`] where there is none, or several of different content.
pub fn select(
    index: &IndexDocument,
    class: ArtifactClass,
    wanted: Variant,
) -> Result<Descriptor, SelectError> {
    let published = variants(index);
    let matching: Vec<&Descriptor> = published
        .iter()
        .filter(|entry| entry.class == class && entry.variant == wanted)
        .map(|entry| &entry.descriptor)
        .collect();
    match matching.split_first() {
        Some((first, rest)) if rest.iter().all(|o| o.digest == first.digest && o.size == first.size) => {
            Ok((*first).clone())
        }
        Some(_) => Err(SelectError::Ambiguous {
            class,
            wanted,
            found: matching.iter().map(|entry| entry.digest.clone()).collect(),
        }),
        None => Err(SelectError::NoSuchVariant {
            class,
            wanted,
            others: index.entries().len() - published.len(),
            available: published.iter().map(|entry| (entry.class, entry.variant)).collect(),
        }),
    }
}
