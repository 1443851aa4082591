//! Sizes of manifests that kraft wrote down wrong.
//!
//! Wherever kraft finds a manifest again by its digest, to add another target to its index, it takes the digest's own length
//! for the manifest's (as of October 2023, at least to October 2024). So in most indexes of several targets all entries but the last say 32.
//!
//! Invariant: such a size is taken for none, every other one for what it says; the digest counts either way.

use port_model::Digest;

use crate::index::{Entry, IndexDocument};
use crate::oci::Descriptor;

/// The size of an index's entry; `None` where it is the length of its digest, which no manifest has.
pub fn known_size(entry: &Descriptor) -> Option<u64> {
    let length = entry.digest.hex().len() as u64 / 2;
    (entry.size != length).then_some(entry.size)
}

/// The index with right sizes in place of wrong ones, as far as `size` knows them. All else stays to the byte.
pub fn with_sizes(index: IndexDocument, mut size: impl FnMut(&Digest) -> Option<u64>) -> IndexDocument {
    if index.entries().iter().all(|entry| known_size(entry.descriptor()).is_some()) {
        return index;
    }
    let mend = |entry: &Entry| match known_size(entry.descriptor()) {
        Some(_) => entry.clone(),
        None => match size(&entry.descriptor().digest) {
            Some(size) => entry.with_size(size),
            None => entry.clone(),
        },
    };
    let entries = index.entries().iter().map(mend).collect();
    index.with_entries(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn index(sizes: &[u64]) -> IndexDocument {
        let entry = |size: &u64| {
            format!(
                r#"{{"mediaType":"m","odd":{{ "kept": 1 }},"digest":"{MANIFEST}","size":{size},"last":true}}"#
            )
        };
        let entries: Vec<String> = sizes.iter().map(entry).collect();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}],"x":"y"}}"#, entries.join(","));
        IndexDocument::read(text.as_bytes(), None).unwrap()
    }

    #[test]
    fn ku_10_a_digest_s_length_is_no_size() {
        for (size, known) in [(31, Some(31)), (32, None), (33, Some(33)), (0, Some(0))] {
            assert_eq!(known_size(index(&[size]).entries()[0].descriptor()), known);
        }
    }

    #[test]
    fn ku_10_wrong_sizes_are_mended_and_all_else_stays_to_the_byte() {
        let mended = with_sizes(index(&[32, 500]), |_| Some(724));
        let sizes: Vec<u64> = mended.entries().iter().map(|entry| entry.descriptor().size).collect();
        assert_eq!(sizes, [724, 500]);
        let text = |index: &IndexDocument| String::from_utf8(index.to_bytes()).unwrap();
        assert_eq!(text(&mended), text(&index(&[32, 500])).replace("\"size\":32,", "\"size\":724,"));
        assert_eq!(text(&with_sizes(index(&[32]), |_| None)), text(&index(&[32])), "unknown stays as it is");
    }
}
