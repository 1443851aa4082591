//! Keeping as many bundles as wanted (acceptance S-26 … S-31).
//!
//! CRASH: a bundle loses its files first and its manifest last. A kill in between leaves a bundle that is a miss and that the next
//! pruning takes.

use std::path::Path;

use port_content::{FsError, fs};
use port_store::Packs;

use crate::bundle_id::BundleId;
use crate::cache;
use crate::error::{BaseImageError, PrepareProblem};
use crate::lease;
use crate::manager::{BaseImageManager, store_name};
use crate::record::{BaseImage, MANIFEST_NAME};

impl BaseImageManager {
    /// Deletes the bundles beyond the maximum, those first that were handed out longest ago, and gives their ids. The bundle
    /// `keep` stays, as does any that somebody uses or makes. Blocks.
    ///
    /// # Errors
    /// [`BaseImageError::Cache`] where the cache cannot be changed.
    pub fn prune(&self, keep: Option<&BundleId>) -> Result<Vec<BundleId>, BaseImageError> {
        match self.evict_beyond(keep) {
            (evicted, None) => Ok(evicted),
            (_, Some(problem)) => Err(self.cache_error(problem)),
        }
    }

    /// Deletes what can be deleted, and gives the first problem there was: a bundle that stays keeps no other.
    pub(crate) fn evict_beyond(&self, keep: Option<&BundleId>) -> (Vec<BundleId>, Option<PrepareProblem>) {
        if let Err(problem) = fs::create_dir_all(&self.options.cache_directory) {
            return (Vec::new(), Some(problem.into()));
        }
        let mut bundles = cache::list(&self.options.cache_directory);
        bundles.sort_by_key(|bundle| keep != Some(&bundle.bundle_id));
        let most = usize::try_from(self.options.max_stored_images.get()).unwrap_or(usize::MAX);
        let (mut evicted, mut problem) = (Vec::new(), None);
        for bundle in bundles.split_off(bundles.len().min(most)) {
            match self.evict(&bundle) {
                Ok(true) => evicted.push(bundle.bundle_id),
                Ok(false) => {}
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        if !evicted.is_empty() {
            // Where somebody is at work on the store, the next pruning collects.
            let collected = self.store.try_collect_garbage(Packs::Keep).map_err(PrepareProblem::from);
            problem = problem.or(collected.err());
        }
        (evicted, problem)
    }

    /// Deletes a bundle; says whether nobody stood in the way.
    fn evict(&self, bundle: &BaseImage) -> Result<bool, PrepareProblem> {
        let directory = &bundle.bundle_dir;
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let Some(_work) = lease::evict(&self.options.cache_directory, bundle.bundle_id.as_str())? else {
            return Ok(false);
        };
        let limit = self.options.max_stored_images;
        self.options.reporter.note(format!(
            "warning: at most {limit} of the base images are kept: `{}` at `{}` is deleted; `--max-stored N` (`max_stored_images`) keeps more",
            bundle.bundle_id,
            directory.display()
        ));
        remove(directory)?;
        self.store.untag(&store_name(&name))?;
        Ok(true)
    }
}

fn remove(directory: &Path) -> Result<(), FsError> {
    for path in fs::read_dir(directory)? {
        if path.file_name().is_some_and(|name| name == MANIFEST_NAME) {
            continue;
        }
        if fs::symlink_metadata(&path)?.is_dir() {
            fs::remove_dir_all(&path)?
        } else {
            fs::remove_file(&path)?
        }
    }
    fs::remove_dir_all(directory)
}
