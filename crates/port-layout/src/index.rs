//! Indexes. Here: putting one named entry into a layout directory's index, and taking it out. Below: the index
//! of a published version, which other tools write too. All pure, so that the caller can lock around it.

mod entries;
mod merge;
mod select;

pub use entries::{Entry, IndexDocument};
pub use merge::{Change, Conflict, Merged, Strategy, merge};
pub use select::{Published, SelectError, select, variants};

use crate::annotations::REF_NAME;
use crate::oci::{Descriptor, Index};

/// The entry whose ref name is `name`.
pub fn find<'a>(index: &'a Index, name: &str) -> Option<&'a Descriptor> {
    index.manifests.iter().find(|entry| name_of(entry) == Some(name))
}

/// The ref name of an entry.
pub fn name_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

/// Puts `entry` in under `name`, in place of an entry of that name; the order is by name, so that the same
/// set of entries always gives the same bytes.
pub fn put(index: &mut Index, name: &str, mut entry: Descriptor) {
    remove(index, name);
    entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
    index.manifests.push(entry);
    index.manifests.sort_by(|a, b| name_of(a).cmp(&name_of(b)).then_with(|| a.digest.cmp(&b.digest)));
}

/// Takes the entry of this name out; says whether there was one.
pub fn remove(index: &mut Index, name: &str) -> bool {
    let before = index.manifests.len();
    index.manifests.retain(|entry| name_of(entry) != Some(name));
    index.manifests.len() < before
}

#[cfg(test)]
mod tests;
