//! `[storage]`: a root that can be found, and volumes that hide nothing (acceptance V-39 … V-43, Vu-19, C-46).

use std::collections::BTreeMap;

use crate::manifest::{Manifest, Volume};
use crate::problem::Problems;
use crate::rootfs::RootSource;
use crate::words::WritableLayer;

pub(super) fn check(manifest: &Manifest, problems: &mut Problems) {
    let storage = &manifest.storage;
    super::plain("storage.rootfs", storage.rootfs.as_ref(), problems);
    match (&storage.rootfs, &manifest.workload.image) {
        (Some(rootfs), _) => drop(problems.take("storage.rootfs", RootSource::parse(rootfs))),
        (None, Some(image)) => {
            if let Err(reason) = RootSource::published(image) {
                let message = format!("cannot be fetched: {reason}");
                problems.warning(
                    "workload.image",
                    message,
                    "name the root file system with `storage.rootfs`",
                );
            }
        }
        (None, None) => {}
    }
    let layer = super::word("storage.writable_layer", storage.writable_layer.as_ref(), problems);
    if manifest.security.read_only_rootfs == Some(true)
        && matches!(layer, Some(WritableLayer::Overlay | WritableLayer::Tmpfs))
    {
        problems.warning(
            "storage.writable_layer",
            "nothing is ever written to a read-only root: this is ignored",
            "remove it, or `security.read_only_rootfs`",
        );
    }
    volumes(storage.volumes.as_deref().unwrap_or_default(), problems);
}

fn volumes(volumes: &[Volume], problems: &mut Problems) {
    let mut taken = BTreeMap::new();
    for (index, volume) in volumes.iter().enumerate() {
        let key = format!("storage.volumes[{index}]");
        let (host, container) = (format!("{key}.host"), format!("{key}.container"));
        path(&host, &volume.host, "on the host", problems);
        if !path(&container, &volume.container, "in the workload", problems) {
            continue;
        }
        if !volume.container.starts_with('/') {
            let message = format!("expected an absolute path in the workload, found `{}`", volume.container);
            problems.error(container, message);
            continue;
        }
        let place = plain_path(&volume.container);
        if place == "/" {
            problems.error(container, "a volume at `/` would hide the whole root file system");
        } else if let Some(earlier) = taken.get(&place) {
            problems.error(container, format!("`{place}` is taken already by `{earlier}`"));
        } else {
            taken.insert(place, key);
        }
    }
}

/// A path that stays where it says.
fn path(key: &str, path: &str, which: &str, problems: &mut Problems) -> bool {
    if path.is_empty() {
        problems.error(key, format!("a volume needs a path {which}"));
    } else if path.split('/').any(|part| part == "..") {
        problems.error(key, format!("expected a path {which} without `..`, found `{path}`"));
    } else if let Some(c) = path.chars().find(|c| c.is_control()) {
        problems.error(key, format!("must not hold the control character {c:?}"));
    } else {
        return true;
    }
    false
}

/// The one spelling of an absolute path.
pub(crate) fn plain_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}
