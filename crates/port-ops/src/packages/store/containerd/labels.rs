//! The labels that kraft gives content and images in containerd (acceptance Ku-23): without the media type it does not see a
//! document, and by the references containerd knows what belongs to what.

use std::collections::BTreeMap;

use port_containerd::Labels;
use port_layout::{Blob, IndexDocument};
use port_model::{Digest, Reference};

use super::super::PackageStore;
use crate::packages::PackageError;

/// Before the number of a manifest of an index.
pub(super) const MANIFESTS: &str = "containerd.io/gc.ref.content.m.";
/// Before the number of a layer of a manifest; its config comes last.
const LAYERS: &str = "containerd.io/gc.ref.content.l.";
/// Content that is not collected.
const ROOT: &str = "containerd.io/gc.root";
/// When a lease ends by itself.
const EXPIRE: &str = "containerd.io/gc.expire";
/// Before the registry that content can be had from again.
const SOURCE: &str = "containerd.io/distribution.source.";
/// What a document is, for kraft.
const MEDIA_TYPE: &str = "kraftkit.sh/oci.mediaType";

pub(super) fn of_lease(end: &str) -> Labels {
    one(EXPIRE, end)
}

/// Takes the root label away.
pub(super) fn of_no_root() -> Labels {
    one(ROOT, "")
}

/// Whether all of them are of the kinds that kraft and containerd give.
pub(super) fn are_known(labels: &Labels) -> bool {
    labels.keys().all(|key| key.starts_with("containerd.io/") || key.starts_with("kraftkit.sh/"))
}

/// The labels of an index, and of the image that leads to it.
pub(super) fn of_index(name: &Reference, index: &IndexDocument) -> Labels {
    let mut labels = of_document(name, port_layout::media_types::OCI_INDEX);
    let digests = index.entries().iter().map(|entry| entry.descriptor().digest.to_string());
    labels.extend(digests.enumerate().map(|(at, digest)| (format!("{MANIFESTS}{at}"), digest)));
    labels
}

/// The labels of everything below an index that is here.
pub(super) fn below(
    name: &Reference,
    index: &IndexDocument,
    store: &PackageStore,
) -> Result<BTreeMap<Digest, Labels>, PackageError> {
    let mut all = BTreeMap::new();
    for entry in index.entries() {
        let entry = entry.descriptor();
        // Of a target that was not pulled, nothing is here.
        let Some(manifest) = store.manifest(entry)? else { continue };
        let mut labels = of_document(name, &entry.media_type);
        let parts = manifest.layers.iter().chain([&manifest.config]);
        for (at, part) in parts.enumerate() {
            labels.insert(format!("{LAYERS}{at}"), part.digest.to_string());
            let Blob { digest, size } = part.blob();
            if store.has(&Blob { digest: digest.clone(), size })? {
                all.insert(digest, rooted(one(MEDIA_TYPE, &part.media_type)));
            }
        }
        all.insert(entry.digest.clone(), rooted(labels));
    }
    Ok(all)
}

fn of_document(name: &Reference, media_type: &str) -> Labels {
    let source = (format!("{SOURCE}{}", name.registry()), name.repository().to_owned());
    Labels::from([source, (MEDIA_TYPE.to_owned(), media_type.to_owned())])
}

/// What is not collected even where nothing leads to it: kraft's way, and what its own deletions expect.
pub(super) fn rooted(mut labels: Labels) -> Labels {
    labels.extend(one(ROOT, "true"));
    labels
}

fn one(key: &str, value: &str) -> Labels {
    Labels::from([(key.to_owned(), value.to_owned())])
}
