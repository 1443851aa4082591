//! `port base-images list`, `verify` and `prune`: what lies in the cache.

use port_base_images::{BaseImage, BundleId};
use serde::Serialize;

use super::{CacheFlags, MirrorFlags, manager, options};
use crate::args::Global;
use crate::error::{CommandError, Exit};
use crate::ui::{Ui, size, table};

/// Lists; a cache that cannot be read is empty.
pub fn list(flags: CacheFlags, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let options = options(flags, MirrorFlags::default(), global, ui)?;
    let bundles = port_base_images::list(&options.cache_directory);
    ui.report(&bundles, || {
        let heading = ["BASE IMAGE", "ARCHITECTURE", "FIRECRACKER", "ROOTFS", "SIZE", "LAST USED"];
        let rows = bundles.iter().map(|bundle| {
            vec![
                bundle.bundle_id.to_string(),
                bundle.arch.to_string(),
                bundle.firecracker_version.clone(),
                bundle.rootfs_type.to_string(),
                size(bytes(bundle)),
                bundle.last_accessed_at.clone(),
            ]
        });
        table(&std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>())
    })
}

fn bytes(bundle: &BaseImage) -> u64 {
    bundle.sizes.kernel.unwrap_or(0).saturating_add(bundle.sizes.rootfs.unwrap_or(0))
}

/// What a verification says of one bundle.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    bundle_id: String,
    bundle_dir: std::path::PathBuf,
    sound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Verifies; a damaged bundle is a failure.
pub fn verify(flags: CacheFlags, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let manager = manager(flags, MirrorFlags::default(), global, ui)?;
    let verified: Vec<Verified> = manager
        .verify()
        .into_iter()
        .map(|checked| {
            let problem = checked.flaw.map(|flaw| flaw.to_string());
            let bundle_dir = checked.directory;
            let named = bundle_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bundle_id = checked.bundle.map_or(named, |bundle| bundle.bundle_id.to_string());
            Verified { bundle_id, bundle_dir, sound: problem.is_none(), problem }
        })
        .collect();
    ui.report(&verified, || {
        let row = |verified: &Verified| {
            let said = verified.problem.clone().unwrap_or_else(|| "sound".to_owned());
            vec![verified.bundle_id.clone(), said]
        };
        table(&verified.iter().map(row).collect::<Vec<_>>())
    })?;
    match verified.iter().filter(|verified| !verified.sound).count() {
        0 => Ok(()),
        damaged => {
            let noun = if damaged == 1 { "base image is" } else { "base images are" };
            let error = CommandError::new(Exit::Failed, format!("{damaged} {noun} damaged"));
            Err(error.hint("`port base-images ensure` makes anew what it asks for; other directories are yours to delete"))
        }
    }
}

/// What a pruning deleted.
#[derive(Debug, Serialize)]
struct Pruned {
    evicted: Vec<BundleId>,
}

/// Prunes.
pub fn prune(flags: CacheFlags, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let evicted = manager(flags, MirrorFlags::default(), global, ui)?.prune(None)?;
    let pruned = Pruned { evicted };
    ui.report(&pruned, || pruned.evicted.iter().map(|id| format!("{id}\n")).collect())
}
