//! What a resolved manifest says where nobody did (acceptance Vu-1; docs/formats/workload-manifest.md lists it). Limits
//! have no defaults but a machine's memory: a limit that the host cannot keep would be refused, and nobody asked for it.

use crate::manifest::Manifest;
use crate::words::{LandlockWord, Mode, NetworkMode, SeccompWord, WritableLayer};

/// The memory of a machine whose manifest names no limit: a machine has a size.
pub const MACHINE_MEMORY: &str = "512M";

/// Fills in what belongs to the mode, then the rest. An unknown mode has no defaults: it is an error already.
pub(crate) fn fill(manifest: &mut Manifest) {
    if let Ok(mode) = manifest.workload.mode.parse() {
        fill_mode(mode, manifest);
        fill_rest(manifest);
    }
}

fn fill_mode(mode: Mode, manifest: &mut Manifest) {
    let memory = &mut manifest.resources.memory_limit;
    let landlock = &mut manifest.security.landlock_profile;
    match mode {
        Mode::HybridKvm => {
            memory.get_or_insert_with(|| MACHINE_MEMORY.to_owned());
            // It confines the monitor, which needs the files of its machine and nothing else.
            landlock.get_or_insert_with(|| LandlockWord::Strict.to_string());
        }
        // Translated programs run on the host's kernel; what they write is for this run.
        Mode::HybridEmulated => default_layer(manifest, WritableLayer::Tmpfs),
        Mode::Container | Mode::HybridNative => {}
    }
}

fn fill_rest(manifest: &mut Manifest) {
    let security = &mut manifest.security;
    security.landlock_profile.get_or_insert_with(|| LandlockWord::Default.to_string());
    security.seccomp_profile.get_or_insert_with(|| SeccompWord::Default.to_string());
    security.read_only_rootfs.get_or_insert(false);
    manifest.network.mode.get_or_insert_with(|| NetworkMode::Bridge.to_string());
    default_layer(manifest, WritableLayer::Overlay);
    for volume in manifest.storage.volumes.iter_mut().flatten() {
        volume.readonly.get_or_insert(false);
    }
}

/// A root that takes no writes needs nothing to take them.
fn default_layer(manifest: &mut Manifest, layer: WritableLayer) {
    let read_only = manifest.security.read_only_rootfs == Some(true);
    let layer = if read_only { WritableLayer::None } else { layer };
    manifest.storage.writable_layer.get_or_insert_with(|| layer.to_string());
}
